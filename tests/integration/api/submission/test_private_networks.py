"""URLs of mixtures never lead into private networks, and answers do not reveal what is there."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from shared.settings import Settings
from tests.fixtures.api import StandIn
from tests.fixtures.network.web_site import submit_source, web_with


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/song.mp3",
        "http://localhost:{port}/song.mp3",
        "http://[::1]:{port}/song.mp3",
        "http://[::ffff:127.0.0.1]:{port}/song.mp3",
        "http://[::127.0.0.1]:{port}/song.mp3",
        "http://[64:ff9b::7f00:1]:{port}/song.mp3",
        "http://0.0.0.0:{port}/song.mp3",
        "http://2130706433:{port}/song.mp3",
        "http://0x7f.1:{port}/song.mp3",
        "http://10.0.0.1/song.mp3",
        "http://192.168.1.1/song.mp3",
        "http://100.64.0.1/song.mp3",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/song.mp3",
        "http://[fd00::1]/song.mp3",
        "http://[::ffff:0:127.0.0.1]:{port}/song.mp3",
        "http://[2002:7f00:1::]:{port}/song.mp3",
        "http://[2001:0:7f00:1::]:{port}/song.mp3",
        "http://[fec0::1]/song.mp3",
        "http://[ff02::1]/song.mp3",
        "http://[2001:db8::1]/song.mp3",
        "http://[::1%25lo]:{port}/song.mp3",
        "http://localhost.:{port}/song.mp3",
        "http://127.1:{port}/song.mp3",
        "http://0177.0.0.1:{port}/song.mp3",
        "http://127.0.0.1.:{port}/song.mp3",
        "http://\uff11\uff12\uff17.0.0.1:{port}/song.mp3",
        "http://example.com\\@127.0.0.1:{port}/song.mp3",
        "http://127.0.0.1:{port}\\@example.invalid/song.mp3",
        "http://198.18.0.1/song.mp3",
        "http://203.0.113.1/song.mp3",
        "http://168.63.129.16/song.mp3",
        "http://224.0.0.1/song.mp3",
        "file:///etc/passwd",
        "ftp://127.0.0.1/song.mp3",
        "gopher://127.0.0.1:{port}/x",
        "http://user:secret@example.com/",
        "http:///song.mp3",
        "http://[::1/song.mp3",
        "song.mp3",
    ],
)
def test_no_url_leads_into_private_networks(settings: Settings, stand_in: StandIn, site: str, url: str) -> None:
    web = web_with(settings, url_sources=True)
    refused = submit_source(web, url=url.format(port=site.rsplit(":", 1)[1]))
    assert refused.status_code == 422, refused.text
    assert refused.json["code"] in {"url_refused", "url_unreachable"}
    assert stand_in.keys() == []


@pytest.mark.usefixtures("stand_in")
def test_a_name_that_changes_its_address_is_checked_where_it_is_connected(
    settings: Settings, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves to a public address the first time, and to loopback afterwards."""
    port, asked, real = int(site.rsplit(":", 1)[1]), [], socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        if host != "rebind.example":
            return real(host, *args, **options)
        asked.append(host)
        address = "127.0.0.1" if len(asked) > 1 else "93.184.216.34"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected = []
    real_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[1] == port:
            connected.append(address[0])
            raise TimeoutError
        real_connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket.socket, "connect", connect)
    refused = submit_source(web_with(settings, url_sources=True), url=f"http://rebind.example:{port}/song.mp3")
    assert refused.json["code"] in {"url_unreachable", "url_refused"}
    assert "127.0.0.1" not in connected
    assert len(asked) == 1, "looked up once: what was checked is what is connected to"


INTERNAL = {"db.internal": "10.1.2.3", "metadata.internal": "169.254.169.254", "six.internal": "fd00::1"}


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("start", ["http://{name}:{port}/song.mp3", "{site}/to/{name}", "https://{name}/"])
def test_answers_do_not_tell_which_internal_names_there_are(
    settings: Settings, site: str, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """The same after a redirect, and if the resolver fails or hangs."""
    real, goes_on = socket.getaddrinfo, threading.Event()

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        if host in INTERNAL:
            return real(INTERNAL[host], *args, **options)
        if host == "hung.internal":
            goes_on.wait(60)
        if host.endswith(".internal"):
            fault = socket.EAI_AGAIN if host.startswith("again") else socket.EAI_NONAME
            raise socket.gaierror(fault, "no such name")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    web = web_with(settings, url_sources=True, outgoing_to_loopback=True, url_source_seconds=2.0)
    answers = set()
    for name in (*INTERNAL, "none.internal", "again.internal", "hung.internal", "10.0.0.1", "[fe80::1]"):
        refused = submit_source(web, url=start.format(name=name, site=site, port=site.rsplit(":", 1)[1]))
        told = {key: value for key, value in refused.json.items() if key != "request_id"}
        answers.add((refused.status_code, tuple(told.items())))
    goes_on.set()
    (answer,) = answers
    assert dict(answer[1])["code"] == "url_refused"


@pytest.mark.usefixtures("stand_in")
def test_answers_do_not_tell_why_a_server_is_not_reached(settings: Settings, site: str) -> None:
    """A refused or closed connection, no TLS, and a response that is not HTTP or is incomplete."""
    port = int(site.rsplit(":", 1)[1])
    web = web_with(settings, url_sources=True, outgoing_to_loopback=True, url_source_seconds=2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = [
            "http://127.0.0.1:1/song.mp3",
            f"http://127.0.0.1:{silent.getsockname()[1]}/song.mp3",
            f"https://127.0.0.1:{port}/song.mp3",
            f"{site}/short",
            f"{site}/bomb",
            f"{site}/drip",
        ]
        answers = [submit_source(web, url=url).json for url in urls]
    assert {(answer["code"], answer["detail"]) for answer in answers} == {
        ("url_unreachable", "The URL's server did not respond completely in time.")
    }
