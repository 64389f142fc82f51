"""Uploads over real sockets, through gunicorn: large ones, broken ones, and those that are refused half way."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from api.server.connection_worker import LINGER_SECONDS
from deploy.local.processes import RunningService
from tests.fixtures.api import StandIn
from tests.fixtures.servers import BUCKET, StorageServer

MEGABYTE = 1_000_000


def until(question: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return answer


def blocks(megabytes: int) -> Iterator[bytes]:
    for number in range(megabytes):
        yield bytes([number % 251]) * MEGABYTE


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def receive(wire: socket.socket) -> bytes:
    """Return a problem as it comes, head and body, in however many pieces."""
    answer = b""
    while not answer.endswith(b"}\n") and (piece := wire.recv(65_536)):
        answer += piece
    return answer


def peak_bytes(service: RunningService) -> int:
    """The most memory that any process of the API has held."""
    processes = psutil.Process(service.pid).children()
    statuses = [open(f"/proc/{p.pid}/status").read() for p in processes]  # noqa: SIM115, PTH123
    return max(int(s.split("VmHWM:")[1].split()[0]) * 1024 for s in statuses)


def unfinished(server: StorageServer) -> list[Any]:
    return list(server.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def test_a_large_upload_passes_through_little_memory(api_url: str, gunicorn: RunningService, stand_in: StandIn) -> None:
    httpx2.post(f"{api_url}/v1/uploads", content=blocks(20), timeout=60)
    before = peak_bytes(gunicorn)
    answer = httpx2.post(f"{api_url}/v1/uploads?filename=long.wav", content=blocks(100), timeout=60)
    assert (answer.status_code, answer.json()["size_bytes"]) == (201, 100 * MEGABYTE)
    assert peak_bytes(gunicorn) - before < 30 * MEGABYTE
    assert sorted(size for _, size, _ in stand_in.storage.list_keys("uploads/")) == [20 * MEGABYTE, 100 * MEGABYTE]


@pytest.mark.parametrize("framing", ["announced", "chunked"])
def test_a_client_that_goes_away_leaves_nothing_behind(
    api_url: str, stand_in: StandIn, session_storage: StorageServer, framing: str
) -> None:
    with connect(api_url) as wire:
        if framing == "announced":
            wire.sendall(head("/v1/uploads", f"Content-Length: {40 * MEGABYTE}"))
            wire.sendall(b"x" * 20 * MEGABYTE)
        else:
            wire.sendall(head("/v1/uploads", "Transfer-Encoding: chunked"))
            wire.sendall(b"%x\r\n" % (20 * MEGABYTE) + b"x" * 20 * MEGABYTE + b"\r\n")
        until(lambda: unfinished(session_storage))
    until(lambda: not unfinished(session_storage))
    assert stand_in.keys() == []


def test_a_client_that_ends_its_sending_early_is_told(api_url: str, stand_in: StandIn) -> None:
    with connect(api_url) as wire:
        wire.sendall(head("/v1/uploads", "Content-Length: 1000") + b"only this")
        wire.shutdown(socket.SHUT_WR)
        answer = receive(wire)
    assert b" 400 " in answer
    assert b"body_incomplete" in answer
    assert stand_in.keys() == []


def test_chunks_that_are_no_http_are_the_clients_fault(api_url: str, stand_in: StandIn) -> None:
    with connect(api_url) as wire:
        wire.sendall(head("/v1/uploads", "Transfer-Encoding: chunked") + b"5\r\nhello\r\nzz\r\n")
        answer = receive(wire)
    assert b" 400 " in answer
    assert b"body_malformed" in answer
    assert stand_in.keys() == []


def test_too_large_a_body_is_refused_before_it_is_sent(api_url: str, stand_in: StandIn) -> None:
    with connect(api_url) as wire:
        wire.sendall(head("/v1/uploads", f"Content-Length: {111 * MEGABYTE}"))
        answer = receive(wire)
    assert b" 413 " in answer
    assert b"upload_too_large" in answer
    assert stand_in.keys() == []


def test_too_large_a_body_of_unknown_length_is_refused_at_the_limit(
    api_url: str, stand_in: StandIn, session_storage: StorageServer
) -> None:
    sent = 0
    with connect(api_url) as wire:
        wire.sendall(head("/v1/uploads", "Transfer-Encoding: chunked"))
        try:
            for block in blocks(400):
                wire.sendall(b"%x\r\n" % len(block) + block + b"\r\n")
                sent += len(block)
        except OSError:
            pass
        answer = receive(wire)
    assert b" 413 " in answer
    assert sent < 300 * MEGABYTE, "some of it was taken in vain, so that the answer arrives"
    assert stand_in.keys() == []
    assert unfinished(session_storage) == []


@pytest.mark.parametrize("is_announced", [True, False])
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/jobs", {"Content-Type": "text/plain"}, 415),
        ("/v1/uploads", {"Origin": "https://elsewhere.example"}, 403),
        ("/v1/nothing", {}, 404),
        ("/v1/jobs", {"Content-Type": "application/json"}, 413),
    ],
)
def test_a_client_that_sends_all_before_it_reads_is_told_why_it_is_refused(
    api_url: str, path: str, headers: dict[str, str], status: int, is_announced: bool
) -> None:
    with httpx2.Client(base_url=api_url, timeout=30) as client:
        content = b"x" * 60 * MEGABYTE if is_announced else blocks(60)
        answer = client.post(path, headers=headers, content=content)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert client.get("/v1/jobs").json()["jobs"] == [], "the connection serves on"


def test_a_refused_client_that_stalls_holds_no_thread_for_long(api_url: str, stand_in: StandIn) -> None:
    del stand_in
    with connect(api_url) as wire:
        wire.sendall(head("/v1/nothing", f"Content-Length: {MEGABYTE}"))
        assert b" 404 " in receive(wire), "the answer does not wait for the body"
        began = time.monotonic()
        while wire.recv(65_536):
            pass
        assert time.monotonic() - began < 2 * LINGER_SECONDS


def test_fields_without_end_are_refused(api_url: str, stand_in: StandIn) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'
    answer = httpx2.post(
        f"{api_url}/v1/jobs",
        content=part + b"a" * 2 * MEGABYTE,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "form_too_large")
    parts = b"".join(b'--x\r\nContent-Disposition: form-data; name="n%d"\r\n\r\n1\r\n' % n for n in range(100))
    answer = httpx2.post(
        f"{api_url}/v1/jobs", content=parts, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "form_too_large")
    assert stand_in.keys() == []


def test_a_slash_too_many_is_no_other_address(api_url: str, stand_in: StandIn) -> None:
    del stand_in
    for path in ("/v1/jobs", "/v1/engines", "/healthz"):
        assert httpx2.get(f"{api_url}{path}/").json() == httpx2.get(f"{api_url}{path}").json()


def test_a_connection_serves_on_after_a_refusal(api_url: str, stand_in: StandIn) -> None:
    with httpx2.Client(base_url=api_url) as client:
        assert client.post("/v1/jobs", content=b"x" * 1000, headers={"Content-Type": "text/xml"}).status_code == 415
        assert client.get("/v1/jobs").json()["jobs"] == []
    assert stand_in.keys() == []


def test_a_file_that_looks_like_the_form_around_it_arrives_whole(api_url: str, stand_in: StandIn) -> None:
    content = b"\0\r\n--x" * 200_000 + b"\n\r\n--y--\r\n" + b"-" * 300_000 + b"\r\n"
    body = b'--xy\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%s\r\n--xy--\r\n' % content
    answer = httpx2.post(
        f"{api_url}/v1/jobs", content=body, headers={"Content-Type": "multipart/form-data; boundary=xy"}, timeout=60
    )
    source = stand_in.store.read_job(answer.json()["id"]).request.source
    assert stand_in.storage.open(source.key).body.read() == content
