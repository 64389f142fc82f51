"""Malicious clients over real connections: none blocks other clients, and each is told why it is refused."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import httpx2
import pytest
from flask.testing import FlaskClient

from api.access import open_calls
from api.access.open_calls import OpenCalls
from api.app import create_app
from api.contract.errors import ServerBusyError, TooManyOpenCallsError
from api.server.connection_worker import HEAD_SECONDS
from deploy.local.processes import RunningService
from shared.api_keys import ApiKeys
from shared.settings import Settings
from tests.fixtures.api import StandIn, alive, submit
from tests.fixtures.ports import find_free
from tests.integration.api.request_bodies.test_uploads_on_the_wire import connect, head, receive, until

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def server(gunicorn: RunningService, *options: str, **environment: str) -> Iterator[RunningService]:
    """An API with the given settings and gunicorn options; the name of the service is its address."""
    port = find_free()
    url = f"http://127.0.0.1:{port}"
    told = {**gunicorn.service.environment, "API_PORT": str(port), **environment}
    command = (*gunicorn.service.command[:-1], *options, gunicorn.service.command[-1])
    service = replace(gunicorn.service, name=url, environment=told, command=command, answers=lambda: alive(url))
    running = RunningService(service, print)
    try:
        running.wait_until_it_answers()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def strict(gunicorn: RunningService) -> Iterator[str]:
    """An API with 8 threads that requires keys and disconnects clients below 100 kB/s."""
    with server(gunicorn, API_KEYS_REQUIRED="true", MIN_CLIENT_BYTES_PER_SECOND="100000") as running:
        yield running.service.name


def key_of(settings: Settings, owner: str) -> str:
    return ApiKeys(settings).create(owner=owner, scopes=["submit", "read"])[1]


def dripping_upload(wires: ExitStack, url: str, key: str) -> socket.socket:
    wire = wires.enter_context(connect(url))
    wire.settimeout(60)
    wire.sendall(head("/v1/uploads", f"Authorization: Bearer {key}", "Content-Length: 4000000") + b"s\0ng")
    return wire


def first_to_answer(wires: list[socket.socket], number: int) -> list[socket.socket]:
    """Wait until so many clients have a response, and return the responses."""

    def answered() -> list[socket.socket]:
        return select.select(wires, [], [], 0)[0]

    return answered() if until(lambda: len(answered()) == number) else []


def ask(wire: socket.socket) -> bytes:
    """Request /healthz and return the response."""
    wire.sendall(HEALTH)
    answer = b""
    while not answer.endswith(b"}") and (piece := wire.recv(4096)):
        answer += piece
    return answer


def problem_of(answer: bytes) -> dict[str, object]:
    return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))


def test_uploads_of_one_key_leave_threads_for_others(strict: str, settings: Settings, stand_in: StandIn) -> None:
    bad, good = key_of(settings, "mallory"), {"Authorization": f"Bearer {key_of(settings, 'alice')}"}
    with ExitStack() as stack:
        # More than there are threads; four of the eight may be one owner's.
        wires = [dripping_upload(stack, strict, bad) for _ in range(12)]
        for wire in (refused := first_to_answer(wires, 8)):
            answer = receive(wire)
            assert (problem_of(answer)["code"], b"Retry-After:" in answer) == ("too_many_open_calls", True)
            assert b" 429 " in answer
            assert b"Connection: close" in answer
            assert wire.recv(1) == b""
        assert httpx2.get(f"{strict}/healthz", timeout=20).status_code == 200
        assert httpx2.get(f"{strict}/v1/jobs", headers=good, timeout=20).json()["jobs"] == []
        answer = httpx2.post(f"{strict}/v1/uploads", content=b"s\0ng", headers=good, timeout=20)
        assert answer.status_code == 201
        for wire in set(wires) - set(refused):
            told = receive(wire)
            assert (b" 408 " in told, problem_of(told)["code"]) == (True, "body_stalled")
    # The places are free again.
    answer = httpx2.post(f"{strict}/v1/uploads", content=b"s\0ng", headers={"Authorization": f"Bearer {bad}"})
    assert answer.status_code == 201
    assert len(stand_in.keys()) == 2


def test_all_owners_together_leave_threads_for_short_calls(strict: str, settings: Settings, stand_in: StandIn) -> None:
    del stand_in
    keys = [key_of(settings, owner) for owner in ("a", "b", "c")]
    with ExitStack() as stack:
        wires = [dripping_upload(stack, strict, key) for key in keys for _ in range(3)]
        answers = [receive(wire) for wire in first_to_answer(wires, 3)]
        assert [problem_of(answer)["code"] for answer in answers] == ["server_busy"] * 3
        assert all(b" 503 " in answer and b"Retry-After:" in answer for answer in answers)
        assert httpx2.get(f"{strict}/healthz", timeout=20).status_code == 200


def test_readers_of_one_key_who_do_not_read_leave_threads_for_others(
    strict: str, settings: Settings, web: FlaskClient, stand_in: StandIn
) -> None:
    job_id = str(submit(web).json["id"])
    stand_in.queue.dispatch()
    stand_in.succeed(job_id, stem=bytes(60_000_000))
    bad, good = key_of(settings, "local"), key_of(settings, "alice")
    path = f"/v1/jobs/{job_id}/stems/vocals"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bad}\r\n\r\n".encode()
    with ExitStack() as stack:
        wires = [stack.enter_context(connect(strict)) for _ in range(12)]
        for wire in wires:
            wire.sendall(request)
        statuses = [wire.recv(12)[9:] for wire in wires]
        assert sorted(statuses) == [b"200"] * 4 + [b"429"] * 8
        assert httpx2.get(f"{strict}/v1/jobs", headers={"Authorization": f"Bearer {good}"}, timeout=20).is_success
        slow = wires[statuses.index(b"200")]
        # Ten bytes at a time, for as long as the server goes on with it.
        begun = time.monotonic()
        until(lambda: not _still_sends(strict, bad, path), seconds=90)
        assert time.monotonic() - begun > 5
        slow.close()


def _still_sends(url: str, key: str, path: str) -> bool:
    """Return whether the owner has reached the limit of open calls."""
    time.sleep(1)
    with httpx2.stream("GET", url + path, headers={"Authorization": f"Bearer {key}"}, timeout=20) as answer:
        return answer.status_code == 429


def test_refused_clients_that_go_on_sending_hold_no_thread(strict: str, stand_in: StandIn) -> None:
    del stand_in
    with ExitStack() as stack:
        wires = [stack.enter_context(connect(strict)) for _ in range(12)]
        for wire in wires:
            wire.sendall(head("/v1/uploads", "Content-Length: 4000000"))
        begun = time.monotonic()
        assert [receive(wire)[9:12] for wire in wires] == [b"401"] * 12
        assert httpx2.get(f"{strict}/healthz", timeout=20).status_code == 200
        assert time.monotonic() - begun < HEAD_SECONDS / 2, "they were waited for"


@pytest.mark.parametrize("content", [b"", b"GET /healthz HTTP/1.1\r\nX-Slow: "])
def test_connections_without_a_request_make_room(strict: str, stand_in: StandIn, content: bytes) -> None:
    del stand_in
    with ExitStack() as stack:
        wires = [stack.enter_context(connect(strict)) for _ in range(300)]
        for wire in wires:
            wire.sendall(content)
        begun = time.monotonic()
        assert httpx2.get(f"{strict}/healthz", timeout=20).status_code == 200
        assert time.monotonic() - begun < HEAD_SECONDS / 2, "it waited for the others"


def test_when_the_table_is_full_the_longest_idle_connection_goes(gunicorn: RunningService, settings: Settings) -> None:
    del settings
    with ExitStack() as stack:
        url = stack.enter_context(server(gunicorn, "--worker-connections", "20")).service.name
        kept = stack.enter_context(connect(url))
        assert ask(kept).startswith(b"HTTP/1.1 200 ")
        # The answer is out a moment before the connection is in the table again.
        time.sleep(1)
        wires = [stack.enter_context(connect(url)) for _ in range(40)]
        assert httpx2.get(f"{url}/healthz", timeout=20).status_code == 200
        assert kept.recv(1) == b"", "it was idle for longest"
        assert wires[0].recv(1) == b""
        assert ask(wires[-1]).startswith(b"HTTP/1.1 200 ")


def test_requests_in_one_piece_are_answered_in_turn(api_url: str, stand_in: StandIn) -> None:
    del stand_in
    upload = head("/v1/uploads", "Content-Length: 4") + b"s\0ng"
    with connect(api_url) as wire:
        # The last one's head ends later; empty lines before a request mean nothing.
        wire.sendall(HEALTH + b"\r\n" + upload + HEALTH + HEALTH[:20])
        answers = b""
        while answers.count(b"HTTP/1.1 20") < 3:
            answers += wire.recv(65_536)
        wire.sendall(HEALTH[20:])
        while answers.count(b"HTTP/1.1 20") < 4:
            answers += wire.recv(65_536)
        assert [part[:1] for part in answers.split(b"HTTP/1.1 20")[1:]] == [b"0", b"1", b"0", b"0"]


def test_a_small_refused_body_keeps_the_connection(api_url: str, stand_in: StandIn) -> None:
    del stand_in
    with connect(api_url) as wire:
        wire.sendall(head("/v1/jobs", "Content-Type: text/plain", "Content-Length: 4") + b"song")
        assert b" 415 " in receive(wire)
        assert ask(wire).startswith(b"HTTP/1.1 200 ")


def test_places_are_counted_by_owner_and_in_all(settings: Settings) -> None:
    calls = OpenCalls(settings.model_copy(update={"max_open_calls": 3, "max_open_calls_per_owner": 2}))
    first, _ = calls.open_call("a"), calls.open_call("a")
    with pytest.raises(TooManyOpenCallsError):
        calls.open_call("a")
    calls.open_call("b")
    with pytest.raises(ServerBusyError):
        calls.open_call("b")
    first.close()
    first.close()
    calls.open_call("b")
    with pytest.raises(ServerBusyError):
        calls.open_call("a")
    few = OpenCalls(settings.model_copy(update={"api_threads": 1}))
    assert (few.most, few.most_of_owner) == (1, 1)


def test_a_large_answer_is_refused_like_a_stream(
    settings: Settings, web: FlaskClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = str(submit(web).json["id"])
    stand_in.queue.dispatch()
    monkeypatch.setattr(open_calls, "SHORT_BYTES", 100)
    app = create_app(settings.model_copy(update={"max_open_calls_per_owner": 1}))
    client = app.test_client()
    stream = client.get(f"/v1/jobs/{job_id}/events", buffered=False)
    refused = client.get(f"/v1/jobs/{job_id}")
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_open_calls")
    canceled = client.post(f"/v1/jobs/{job_id}/cancel")
    assert canceled.status_code == 200, "its work is done, so that its answer goes out"
    stream.close()
    for path in (f"/v1/jobs/{job_id}", "/docs/js/swagger-ui-bundle.js", f"/v1/jobs/{job_id}"):
        with client.get(path) as answer:
            assert answer.status_code == 200, "nothing is open any more"
            assert len(answer.data) > open_calls.SHORT_BYTES
