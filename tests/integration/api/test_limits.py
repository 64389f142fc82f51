"""How much one key may ask, and how much one owner may have."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.api_keys import ApiKeys
from shared.collector import Collector
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit
from tests.fixtures.servers import ValkeyServer


def make_key(settings: Settings, owner: str = "anna") -> dict[str, str]:
    return {"Authorization": f"Bearer {ApiKeys(settings).create(owner=owner, scopes=['submit', 'read'])[1]}"}


def client(settings: Settings, **changes: Any) -> FlaskClient:
    return create_app(settings.model_copy(update=changes)).test_client()


@pytest.fixture
def minute() -> None:
    """Have no minute end within a test: the next count would begin."""
    if (passed := time.time() % 60) > 52:
        time.sleep(60.1 - passed)


@pytest.mark.usefixtures("stand_in", "minute")
def test_requests_beyond_the_limit_are_told_when_to_come_back(settings: Settings) -> None:
    web, anna, bert = client(settings, max_requests_per_minute=5), make_key(settings), make_key(settings, "bert")
    for left in (4, 3, 2, 1, 0):
        answer = web.get("/v1/jobs", headers=anna)
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == '"requests";q=5;w=60'
        assert re.fullmatch(rf'"requests";r={left};t=\d+', answer.headers["RateLimit"])
    refused = web.get("/v1/jobs", headers=anna)
    assert (refused.status_code, refused.json["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert web.get("/v1/jobs", headers=bert).status_code == 200
    assert web.get("/v1/jobs").status_code == 200, "programs of this machine are not counted"
    assert "RateLimit" not in web.get("/v1/jobs").headers


@pytest.mark.usefixtures("stand_in", "minute")
def test_the_limit_holds_over_all_processes_and_threads(settings: Settings) -> None:
    headers = make_key(settings)
    processes = [create_app(settings.model_copy(update={"max_requests_per_minute": 200})) for _ in range(2)]
    statuses: list[int] = []

    def ask(number: int) -> None:
        web = processes[number % 2].test_client()
        statuses.extend(web.get("/v1/engines", headers=headers).status_code for _ in range(60))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A lot of four may lie unused in the other process.
    assert 196 <= statuses.count(200) <= 200
    assert statuses.count(429) == 240 - statuses.count(200)


def test_requests_are_counted_while_redis_is_away(settings: Settings, valkey: ValkeyServer) -> None:
    here = settings.model_copy(update={"redis_url": valkey.url})
    web, headers = client(here, max_requests_per_minute=3), make_key(here)
    assert web.get("/v1/jobs", headers=headers).status_code == 200
    other = make_key(here, "bert")
    web.application.extensions["stemqueue"].keys.find(other["Authorization"].removeprefix("Bearer "))
    valkey.kill()
    codes = [web.get("/v1/jobs", headers=other).json["code"] for _ in range(4)]
    assert codes == ["queue_unavailable"] * 3 + ["rate_limited"]


def test_an_owner_with_enough_jobs_waiting_is_told_so_and_others_are_not(settings: Settings, stand_in: StandIn) -> None:
    web, anna, bert = client(settings, max_queued_jobs_per_owner=2), make_key(settings), make_key(settings, "bert")
    upload = web.post("/v1/uploads", data=b"s\0ng", headers=anna).json["upload_id"]
    job = {"source": {"upload_id": upload}}
    first, _ = (web.post("/v1/jobs", json=job, headers=anna).json["id"] for _ in range(2))
    refused = web.post("/v1/jobs", json=job, headers=anna)
    assert (refused.status_code, refused.json["code"]) == (429, "queue_quota_exceeded")
    assert int(refused.headers["Retry-After"]) > 0
    theirs = web.post("/v1/uploads", data=b"s\0ng", headers=bert).json["upload_id"]
    assert web.post("/v1/jobs", json={"source": {"upload_id": theirs}}, headers=bert).status_code == 202
    stand_in.fail(first)
    assert web.post("/v1/jobs", json=job, headers=anna).status_code == 202
    again = web.post(f"/v1/jobs/{first}/retry", headers=anna)
    assert (again.status_code, again.json["code"]) == (429, "queue_quota_exceeded")


def test_a_full_room_takes_nothing_more_until_something_is_deleted(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings, max_stored_bytes_per_owner=5_000)
    refused = submit(web, b"x" * 5_001)
    assert (refused.status_code, refused.json["code"]) == (429, "storage_quota_exceeded")
    assert stand_in.keys() == []
    path = submit(web, b"x" * 2_000).headers["Location"]
    stand_in.succeed(path.rsplit("/", 1)[1])  # two stems of 1000 bytes, and some small files
    refused = web.post("/v1/uploads", data=b"x" * 1_000)
    assert (refused.status_code, refused.json["code"]) == (429, "storage_quota_exceeded")
    assert web.delete(path).status_code == 204
    assert web.post("/v1/uploads", data=b"x" * 5_000).status_code == 201


def test_of_uploads_that_come_at_once_only_those_stay_that_there_is_room_for(
    settings: Settings, stand_in: StandIn
) -> None:
    web = client(settings, max_stored_bytes_per_owner=100)
    room = web.application.extensions["stemqueue"].store
    room.demand_room = lambda *_: None  # both were let in before either was stored
    assert web.post("/v1/uploads", data=b"x" * 60).status_code == 201
    refused = web.post("/v1/uploads", data=b"x" * 60)
    assert (refused.status_code, refused.json["code"]) == (429, "storage_quota_exceeded")
    assert len(stand_in.keys()) == 1


def test_an_upload_that_nobody_used_gives_its_room_back(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings, max_stored_bytes_per_owner=100)
    assert web.post("/v1/uploads", data=b"x" * 100).status_code == 201
    assert web.post("/v1/uploads", data=b"x").status_code == 429
    impatient = settings.model_copy(update={"upload_abandoned_seconds": 0.0})
    assert Collector(impatient, stand_in.storage).run()
    assert web.post("/v1/uploads", data=b"x" * 100).status_code == 201


def test_a_days_audio_is_counted_as_it_is_separated(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings, max_audio_seconds_per_day=2.0)
    for _ in range(2):
        answer = submit(web)
        assert answer.status_code == 202
        stand_in.succeed(answer.json["id"])  # a second and a half
    refused = submit(web)
    assert (refused.status_code, refused.json["code"]) == (429, "audio_quota_exceeded")
    assert 1 <= int(refused.headers["Retry-After"]) <= 86_400


def test_refused_jobs_leave_the_room_that_their_uploads_took(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings, max_stored_bytes_per_owner=20_000, max_queued_jobs_per_owner=1)
    assert submit(web, b"x" * 1_000).status_code == 202
    codes = {submit(web, b"x" * 6_000).json["code"] for _ in range(4)}
    assert codes == {"queue_quota_exceeded"}
    assert len(stand_in.keys()) == 1
