"""Which addresses are public, of every form that IPv4 and IPv6 have."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from typing import Any

import pytest

from api.outgoing_http.public_addresses import NotPublicError, is_public, public_addresses

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - never listened on
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::a00:1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:a00:1::1",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "2a00:1450::5efe:a00:1",
    "2a00:1450::200:5efe:a00:1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "198.20.0.1",
    "223.255.255.254",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700::1111",
    "2a00:1450:4001:82a::200e",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_address_of_a_private_network_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def resolver(*addresses: str) -> Any:
    return lambda *_, **__: [(0, 0, 0, "", (address, 80)) for address in addresses]


def test_a_host_with_a_private_address_among_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver("8.8.8.8", "2606:4700::1111", "8.8.8.8"))
    assert public_addresses("a.example", 80, seconds=60, loopback=False) == ["8.8.8.8", "2606:4700::1111"]
    monkeypatch.setattr(socket, "getaddrinfo", resolver("8.8.8.8", "10.0.0.1"))
    with pytest.raises(NotPublicError):
        public_addresses("a.example", 80, seconds=60, loopback=True)
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1"))
    assert public_addresses("a.example", 80, seconds=60, loopback=True) == ["127.0.0.1"]


def test_a_look_up_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: goes_on.wait(60) and [])
    with pytest.raises(NotPublicError, match="in time"):
        public_addresses("a.example", 80, seconds=0.05, loopback=False)
    goes_on.set()


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "nothing.invalid", "a..b"])
def test_what_is_no_name_does_not_resolve(host: str) -> None:
    with pytest.raises(NotPublicError, match="resolve"):
        public_addresses(host, 80, seconds=60, loopback=True)
