"""What is no HTTP, or too much of it, never reaches the application, and is answered in the form of all errors."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.api import StandIn
from tests.integration.api.test_uploads_on_the_wire import connect, receive

LINE = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Host: elsewhere\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Content-Length: -1\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "http_malformed"),
        (LINE + b"Bad Name: a\r\n\r\n", 400, "http_malformed"),
        (b"GET /v1/jobs?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "uri_too_long"),
        (LINE + b"Expect: a miracle\r\n\r\n", 417, "expectation_failed"),
        (LINE + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n", 431, "headers_too_large"),
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
