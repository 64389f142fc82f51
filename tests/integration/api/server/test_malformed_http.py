"""Malformed and oversized requests never reach the application, and are answered with problem details."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from api.server.connection_worker import HEAD_SECONDS, LINGER_SECONDS
from tests.fixtures.api import StandIn
from tests.integration.api.request_bodies.test_uploads_on_the_wire import connect, receive

LINE = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Host: elsewhere\r\n\r\n", 400, "http_malformed"),
        (b"GET /v1/jobs HTTP/1.1\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Content-Length: -1\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Bad Name: a\r\n\r\n", 400, "http_malformed"),
        (b"GET /v1/jobs?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "uri_too_long"),
        (LINE + b"Expect: a miracle\r\n\r\n", 417, "expectation_failed"),
        (LINE + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (LINE + b"X-Long: " + b"a" * 100_000, 431, "headers_too_large"),
        (b"GET /v1/jobs?" + b"a" * 100_000, 414, "uri_too_long"),
        (LINE + b"".join(b"X-%d: a\r\n" % n for n in range(300)) + b"\r\n", 431, "headers_too_large"),
    ],
)
def test_it_is_answered_as_a_problem(
    api_url: str, stand_in: StandIn, request_bytes: bytes, status: int, code: str
) -> None:
    del stand_in
    with connect(api_url) as wire:
        wire.sendall(request_bytes)
        head, _, body = receive(wire).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert (problem["status"], problem["code"]) == (status, code)
    assert f"X-Request-ID: {problem['request_id']}".encode() in head


def test_clients_that_send_no_request_keep_nobody_else_out(api_url: str, stand_in: StandIn) -> None:
    del stand_in
    with ExitStack() as stack:
        # More than the server under test has threads.
        wires = [stack.enter_context(connect(api_url)) for _ in range(12)]
        for wire in wires:
            wire.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        time.sleep(0.5)
        begun = time.monotonic()
        assert httpx2.get(f"{api_url}/healthz", timeout=HEAD_SECONDS + 15).status_code == 200
        assert time.monotonic() - begun < HEAD_SECONDS / 2, "it waited for the others"
        for wire in wires:
            wire.settimeout(HEAD_SECONDS + 15)
            assert wire.recv(100) == b""


def test_a_client_that_does_not_hang_up_holds_up_nobody_else(api_url: str, stand_in: StandIn) -> None:
    del stand_in
    with ExitStack() as stack:
        wires = [stack.enter_context(connect(api_url)) for _ in range(5)]
        begun = time.monotonic()
        for wire in wires:
            wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert wire.recv(4096).startswith(b"HTTP/1.1 200 ")
        # One after the other, they would take this long each.
        assert time.monotonic() - begun < LINGER_SECONDS
        for wire in wires:
            while wire.recv(4096):
                pass


def test_a_request_whose_body_lasts_longer_than_its_head_may_is_served(api_url: str, stand_in: StandIn) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(int(HEAD_SECONDS) + 3):
            yield b"s\0ng"
            time.sleep(1)

    answer = httpx2.post(f"{api_url}/v1/uploads", content=slowly(), timeout=60)
    assert (answer.status_code, len(stand_in.keys())) == (201, 1)
