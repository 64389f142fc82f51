"""Decides which addresses are public, and resolves host names to them."""

from __future__ import annotations

import queue
import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

NOT_PUBLIC_4 = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT, and metadata of some clouds
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # services of Azure to its own machines
        "169.254.0.0/16",  # link-local, and metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
"""The IPv4 addresses that are not public: IANA's special-purpose registry and addresses of cloud services."""

GLOBAL_UNICAST = ip_network("2000::/3")
"""The public IPv6 addresses. Outside of it are loopback, `::/96`, mapped IPv4, NAT64, ULA, link-local, site-local,
multicast, SRv6."""

NOT_PUBLIC_6 = tuple(
    ip_network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, AMT, ORCHID, anycast
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)

ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""The first 32 bits of an interface identifier whose last 32 bits are an IPv4 address."""

Address = IPv4Address | IPv6Address


class NotPublicError(Exception):
    """A host name does not resolve, or resolves to an address that is not public."""


def is_public(address: Address) -> bool:
    """Return whether an address is public.

    `ipaddress.is_global` is not used: it is true of addresses that contain a private one, such as `64:ff9b::7f00:1`.
    """
    if isinstance(address, IPv4Address):
        return not any(address in block for block in NOT_PUBLIC_4)
    if address not in GLOBAL_UNICAST or int(address) >> 32 & 0xFFFF_FFFF in ISATAP:
        return False
    return not any(address in block for block in NOT_PUBLIC_6)


def public_addresses(host: str, port: int, *, seconds: float, loopback: bool) -> list[str]:
    """Return a host's addresses in the order to try them. All are public, or loopback if allowed.

    Raises NotPublicError, also if resolving takes longer than `seconds`, and for a host that has a private address
    besides a public one.
    """
    found = [ip_address(text) for text in _look_up(host, port, seconds)]
    for address in found:
        if not is_public(address) and not (loopback and address.is_loopback):
            raise NotPublicError(f"{host} has the address {address}")
    return list(dict.fromkeys(str(address) for address in found))


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """Resolve a name in a thread of its own, since the system's resolver accepts no timeout."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(address[0]) for *_, address in found])
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise NotPublicError(f"{host} was not resolved in time") from None
    if isinstance(answer, Exception):
        raise NotPublicError(f"{host} does not resolve ({answer})") from answer
    return answer
