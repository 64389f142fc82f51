"""What the API says of itself, above all while what it needs is away: soon, and with a code."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.monitoring.readiness import FAILED_TRIAL_SECONDS, TRIAL_SECONDS, StorageCheck
from shared.errors import StorageUnavailableError
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from tests.fixtures.api import StandIn, submit
from tests.fixtures.network.picky_storage import picky_storage, writes
from tests.fixtures.ports import find_free
from tests.fixtures.servers import Server, StorageServer, ValkeyServer


@pytest.fixture
def frail(valkey: ValkeyServer, storage: StorageServer) -> Settings:
    """Servers of the test's own."""
    return Settings(redis_url=valkey.url, **storage.settings())


@contextmanager
def hung(server: Server) -> Iterator[None]:
    """Stop a server as a debugger does: it takes connections and answers none."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def within_two_seconds(web: FlaskClient) -> Iterator[None]:
    """Allow two seconds of waiting; besides, what calls that wait for nothing take on this machine now, twenty times.

    Who waits for no server answers in some milliseconds, and on a busy machine in as many tenths of a second.
    """

    def seconds_of_a_call() -> float:
        began = time.monotonic()
        assert web.get("/healthz").status_code == 200
        return time.monotonic() - began

    calls = [seconds_of_a_call() for _ in range(3)]
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    calls += [seconds_of_a_call() for _ in range(3)]
    assert seconds < 2.0 + 20 * max(calls), calls


@pytest.mark.usefixtures("stand_in")
def test_a_whole_stack_is_ready(web: FlaskClient) -> None:
    assert web.get("/healthz").json == {"status": "ok", "faults": {}}
    ready = web.get("/readyz")
    assert (ready.status_code, ready.json) == (200, {"status": "ok", "faults": {}})


def test_without_a_worker_it_is_not_ready_and_says_so(web: FlaskClient) -> None:
    ready = web.get("/readyz")
    assert (ready.status_code, list(ready.json["faults"])) == (503, ["workers"])
    assert ready.headers["Retry-After"]


def test_a_hung_redis_is_told_within_two_seconds(frail: Settings, valkey: ValkeyServer) -> None:
    web, worker = create_app(frail).test_client(), StandIn(frail)
    worker.announce()
    path = submit(web).headers["Location"]
    with hung(valkey):
        for call in (
            lambda: web.get(path),
            lambda: submit(web),
            lambda: web.get("/v1/jobs"),
            lambda: web.get("/v1/engines"),
        ):
            with within_two_seconds(web):
                answer = call()
            assert (answer.status_code, answer.json["code"]) == (503, "queue_unavailable")
            assert answer.headers["Retry-After"]
        with within_two_seconds(web):
            faults = web.get("/readyz").json["faults"]
        assert set(faults) == {"redis", "workers"}
        assert web.get("/healthz").status_code == 200
    assert web.get(path).status_code == 200
    assert len(worker.keys()) == 1


def test_a_dead_redis_is_told_and_forgiven(frail: Settings, valkey: ValkeyServer) -> None:
    web, worker = create_app(frail).test_client(), StandIn(frail)
    worker.announce()
    path = submit(web).headers["Location"]
    valkey.kill()
    with within_two_seconds(web):
        assert submit(web).json["code"] == "queue_unavailable"
    valkey.start()
    assert web.get(path).status_code == 200
    assert submit(web).status_code == 202


def test_a_hung_storage_is_told_within_two_seconds(frail: Settings, storage: StorageServer) -> None:
    web, worker = create_app(frail).test_client(), StandIn(frail)
    worker.announce()
    path = submit(web).headers["Location"]
    worker.succeed(path.rsplit("/", 1)[1])
    with hung(storage):
        for call in (partial(submit, web), partial(web.get, f"{path}/stems/vocals")):
            with within_two_seconds(web):
                answer = call()
            assert (answer.status_code, answer.json["code"]) == (503, "storage_unavailable")
        with within_two_seconds(web):
            assert set(web.get("/readyz").json["faults"]) == {"storage"}
        assert web.get(path).status_code == 200
    assert web.get(f"{path}/stems/vocals").status_code == 200


def test_a_storage_that_answers_and_keeps_nothing_is_not_ready(settings: Settings) -> None:
    port = find_free()
    told = settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{port}"})
    with picky_storage(str(settings.s3_endpoint_url), writes, port) as seen:
        web, worker = create_app(told).test_client(), StandIn(settings)
        worker.announce()
        for _ in range(5):
            ready = web.get("/readyz")
            assert (ready.status_code, list(ready.json["faults"])) == (503, ["storage"])
            assert "AccessDenied" in ready.json["faults"]["storage"]
        assert sum(line.startswith("PUT") for line in seen) == 1, "not at each call"


def wait_until(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not question():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def fails(check: StorageCheck) -> bool:
    try:
        check.check()
    except StorageUnavailableError:
        return True
    return False


def test_an_unexpected_error_in_a_trial_counts_as_long_as_any_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, storage = [1000.0], ObjectStorage(settings, prompt=True)
    check = StorageCheck(storage, lambda: clock[0])
    with monkeypatch.context() as broken:
        # A stub, because no storage raises what nobody expects.
        broken.setattr(storage, "try_out", lambda: {}["nothing"])
        with pytest.raises(StorageUnavailableError, match="unexpectedly"):
            check.check()
        assert fails(check), "the fault stays until the next trial"
    clock[0] += FAILED_TRIAL_SECONDS
    wait_until(lambda: not fails(check), "the next trial to succeed")


def test_the_storage_is_tried_out_once_a_minute_and_sooner_after_a_failure(settings: Settings) -> None:
    port, clock = find_free(), [1000.0]
    told = settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{port}"})
    writable = [True]
    with picky_storage(str(settings.s3_endpoint_url), lambda r: None if writable[0] else writes(r), port) as seen:
        check = StorageCheck(ObjectStorage(told, prompt=True), lambda: clock[0])
        trials = lambda: sum(line.startswith("PUT") for line in seen)
        check.check()
        assert trials() == 1, "the first check waits for it"
        writable[0] = False
        clock[0] += TRIAL_SECONDS - 1
        check.check()
        assert trials() == 1
        clock[0] += 1
        check.check()
        wait_until(lambda: fails(check), "the trial to fail beside the checks")
        assert trials() == 2
        writable[0] = True
        assert fails(check)
        assert trials() == 2
        clock[0] += FAILED_TRIAL_SECONDS
        wait_until(lambda: not fails(check), "the trial to succeed")
        assert trials() == 3
        assert not [key for key, _, _ in ObjectStorage(settings).list_keys("jobs/")], "the trial's object is gone"
