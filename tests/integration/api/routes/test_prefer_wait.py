"""Clients that wait instead of asking again: `Prefer: wait` and event streams, on a real Redis and under gunicorn."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from flask.testing import FlaskClient

from api.job_change_feed import SUBSCRIBED_SECONDS, JobChanges
from api.services import EXTENSION
from deploy.local.processes import RunningService
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit, working


@contextmanager
def soon(action: Callable[[], Any], seconds: float = 0.4) -> Iterator[None]:
    timer = threading.Timer(seconds, action)
    timer.start()
    yield
    timer.join()


def happens(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def new_job(web: FlaskClient, stand_in: StandIn) -> str:
    job_id = str(submit(web).json["id"])
    stand_in.queue.dispatch()
    return job_id


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


def test_a_read_that_waits_is_answered_when_the_job_ends(web: FlaskClient, stand_in: StandIn) -> None:
    job_id = new_job(web, stand_in)
    with soon(lambda: stand_in.succeed(job_id)):
        begun = time.monotonic()
        answer = web.get(f"/v1/jobs/{job_id}", headers={"Prefer": "respond-async, wait=50"})
    assert answer.json["state"] == "succeeded"
    assert answer.headers["Preference-Applied"] == "wait=50"
    assert time.monotonic() - begun < 40, "woken, not timed out"


def test_a_read_that_waits_in_vain_shows_the_job_as_it_stands(web: FlaskClient, stand_in: StandIn) -> None:
    job_id = new_job(web, stand_in)
    answer = web.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json["state"]) == (200, "queued")
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert "Retry-After" in answer.headers


def test_with_an_etag_the_first_change_is_answered(web: FlaskClient, stand_in: StandIn) -> None:
    job_id = new_job(web, stand_in)
    headers = {"Prefer": "wait=30", "If-None-Match": web.get(f"/v1/jobs/{job_id}").headers["ETag"]}
    with soon(lambda: stand_in.claim(job_id)):
        changed = web.get(f"/v1/jobs/{job_id}", headers=headers)
    assert (changed.status_code, changed.json["state"]) == (200, "running")
    headers = {"Prefer": "wait=1", "If-None-Match": changed.headers["ETag"]}
    assert web.get(f"/v1/jobs/{job_id}", headers=headers).status_code == 304


@pytest.mark.parametrize("prefer", ["wait", "wait=soon", "wait=-3", "wait=0", "return=minimal"])
def test_what_is_no_wait_is_passed_over(web: FlaskClient, stand_in: StandIn, prefer: str) -> None:
    answer = web.get(f"/v1/jobs/{new_job(web, stand_in)}", headers={"Prefer": prefer})
    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers


def test_a_submission_that_waits_is_answered_with_the_end(api_url: str, stand_in: StandIn) -> None:
    files, headers = {"file": ("song.mp3", b"a\0song")}, {"Prefer": "wait=20", "Idempotency-Key": "once"}
    with working(stand_in):
        answer = httpx2.post(f"{api_url}/v1/jobs", files=files, headers=headers, timeout=40)
        again = httpx2.post(f"{api_url}/v1/jobs", files=files, headers=headers, timeout=40)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    assert (again.status_code, again.json()) == (200, answer.json())
    short = httpx2.post(f"{api_url}/v1/jobs", files=files, headers={"Prefer": "wait=1"}, timeout=40)
    assert (short.status_code, short.headers["Preference-Applied"]) == (202, "wait=1")


def test_events_are_a_snapshot_then_each_change_until_the_end(
    api_url: str, web: FlaskClient, stand_in: StandIn
) -> None:
    job_id = new_job(web, stand_in)
    with httpx2.stream("GET", f"{api_url}/v1/jobs/{job_id}/events", timeout=20) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        events = events_of(stream.iter_lines())
        kind, job = next(events)
        assert (kind, job["state"], job["id"]) == ("job", "queued", job_id)
        stand_in.succeed(job_id)
        seen = list(events)
    assert [job["state"] for _, job in seen][-1] == "succeeded"
    assert seen[-1][1]["stems"]
    with httpx2.stream("GET", f"{api_url}/v1/jobs/{job_id}/events", timeout=20) as stream:
        assert [job["state"] for _, job in events_of(stream.iter_lines())] == ["succeeded"], "an ended job's ends too"


def test_events_tell_of_a_deletion_and_of_no_job(api_url: str, web: FlaskClient, stand_in: StandIn) -> None:
    job_id = new_job(web, stand_in)
    with httpx2.stream("GET", f"{api_url}/v1/jobs/{job_id}/events", timeout=20) as stream:
        events = events_of(stream.iter_lines())
        next(events)
        stand_in.store.cancel(job_id)
        stand_in.store.delete(job_id)
        assert list(events)[-1][0] in {"deleted", "job"}
    assert httpx2.get(f"{api_url}/v1/jobs/{job_id}/events").status_code == 404


def test_streams_leave_threads_for_others(api_url: str, web: FlaskClient, stand_in: StandIn) -> None:
    job_id = new_job(web, stand_in)
    clients = [httpx2.Client(timeout=20) for _ in range(8)]
    streams = [c.send(c.build_request("GET", f"{api_url}/v1/jobs/{job_id}/events"), stream=True) for c in clients]
    try:
        statuses = sorted(s.status_code for s in streams)
        assert statuses == [200] * 4 + [429] * 4, "half of the eight threads for one owner"
        refused = next(s for s in streams if s.status_code == 429)
        assert (json.loads(refused.read())["code"], "Retry-After" in refused.headers) == ("too_many_open_calls", True)
        assert httpx2.get(f"{api_url}/v1/jobs/{job_id}", timeout=10).status_code == 200
        unwilling = httpx2.get(f"{api_url}/v1/jobs/{job_id}", headers={"Prefer": "wait=30"}, timeout=10)
        assert (unwilling.status_code, "Preference-Applied" in unwilling.headers) == (200, False)
    finally:
        for stream, client in zip(streams, clients, strict=True):
            stream.close()
            client.close()
        stand_in.store.cancel(job_id)


def test_a_server_that_stops_begins_no_stream(web: FlaskClient, stand_in: StandIn) -> None:
    job_id = new_job(web, stand_in)
    web.application.extensions[EXTENSION].changes.end_when(lambda: True)
    refused = web.get(f"/v1/jobs/{job_id}/events")
    assert (refused.status_code, refused.json["code"]) == (503, "streams_exhausted")
    assert "Retry-After" in refused.headers


def test_a_lost_subscription_is_made_up_for(settings: Settings, web: FlaskClient, stand_in: StandIn) -> None:
    job_id = new_job(web, stand_in)
    changes = JobChanges(settings, max_followers=2)
    with changes.follow(job_id) as follower:
        assert follower
        happens(lambda: changes.patience_seconds == SUBSCRIBED_SECONDS)
        for client in stand_in.store._redis.client_list(_type="pubsub"):
            stand_in.store._redis.client_kill(client["addr"])
        follower.wait_for_change(0)
        stand_in.claim(job_id)
        happens(follower._woken.is_set)


def test_a_defect_while_listening_ends_no_waiting(
    settings: Settings, web: FlaskClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job(web, stand_in)
    changes, hear, broken = JobChanges(settings, max_followers=2), JobChanges._receive, list[str]()

    def breaks_once(self: JobChanges, subscription: Any) -> bool:
        if not broken:
            broken.append("here")
            raise KeyError
        return hear(self, subscription)

    monkeypatch.setattr(JobChanges, "_receive", breaks_once)
    with changes.follow(job_id) as follower:
        assert follower
        happens(lambda: bool(broken) and changes.patience_seconds == SUBSCRIBED_SECONDS)
        follower.wait_for_change(0)
        stand_in.claim(job_id)
        happens(follower._woken.is_set)


def test_a_server_that_stops_lets_its_streams_go(gunicorn: RunningService, web: FlaskClient, stand_in: StandIn) -> None:
    from dataclasses import replace

    from tests.fixtures.ports import find_free

    port = find_free()
    url = f"http://127.0.0.1:{port}"
    environment = {**gunicorn.service.environment, "API_PORT": str(port)}
    answers = lambda: _alive(url)
    other = RunningService(replace(gunicorn.service, name=url, environment=environment, answers=answers), print)
    other.wait_until_it_answers()
    job_id = new_job(web, stand_in)
    with httpx2.stream("GET", f"{url}/v1/jobs/{job_id}/events", timeout=20) as stream:
        events = events_of(stream.iter_lines())
        next(events)
        begun = time.monotonic()
        stopping = threading.Thread(target=other.stop)
        stopping.start()
        assert list(events) == []
        stopping.join()
    assert time.monotonic() - begun < 15, "well before gunicorn would cut it off"


def _alive(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz").status_code == 200
    except httpx2.HTTPError:
        return False
