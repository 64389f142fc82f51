"""The limits of one key and of one owner."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.contract.batch_requests import BatchSubmission
from api.submission.job_submission import Sender
from shared.api_keys import ApiKeys
from shared.errors import StoreFullError
from shared.maintenance.garbage_collector import Collector
from shared.redis_client import connection
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit
from tests.fixtures.servers import ValkeyServer


def make_key(settings: Settings, owner: str = "anna") -> dict[str, str]:
    return {"Authorization": f"Bearer {ApiKeys(settings).create(owner=owner, scopes=['submit', 'read'])[1]}"}


def client(settings: Settings, **changes: Any) -> FlaskClient:
    return create_app(settings.model_copy(update=changes)).test_client()


@pytest.mark.usefixtures("stand_in")
def test_a_chain_that_can_never_be_queued_is_refused_for_good(settings: Settings) -> None:
    web, anna = client(settings, max_queued_jobs_per_owner=2), make_key(settings)
    upload = web.post("/v1/uploads", data=b"s\0ng", headers=anna).json["upload_id"]
    job = {"source": {"upload_id": upload}, "then": [{"from": "vocals"}, {"from": "vocals"}]}
    refused = web.post("/v1/jobs", json=job, headers=anna)
    assert (refused.status_code, refused.json["code"]) == (422, "request_invalid")
    assert refused.json["errors"][0]["field"] == "then"
    assert "3 jobs" in refused.json["detail"]
    assert "2 queued jobs" in refused.json["detail"]
    del job["then"][1]
    assert web.post("/v1/jobs", json=job, headers=anna).status_code == 202


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


def test_stems_count_before_another_job_of_the_same_upload(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings, max_stored_bytes_per_owner=2_000)
    upload = web.post("/v1/uploads", data=b"x" * 100).json["upload_id"]
    job = {"source": {"upload_id": upload}, "no_cache": True}
    path = web.post("/v1/jobs", json=job).headers["Location"]
    stand_in.succeed(path.rsplit("/", 1)[1])  # two stems of 1000 bytes, and some small files
    refused = web.post("/v1/jobs", json=job)
    assert (refused.status_code, refused.json["code"]) == (429, "storage_quota_exceeded")
    assert web.delete(path).status_code == 204
    assert web.post("/v1/jobs", json=job).status_code == 202


def test_of_uploads_that_come_at_once_only_those_stay_that_there_is_room_for(
    settings: Settings, stand_in: StandIn
) -> None:
    web = client(settings, max_stored_bytes_per_owner=100)
    uploads = web.application.extensions["stemqueue"].submission._uploads
    uploads.require_upload_room = lambda *_: None  # both were let in before either was stored
    assert web.post("/v1/uploads", data=b"x" * 60).status_code == 201
    refused = web.post("/v1/uploads", data=b"x" * 60)
    assert (refused.status_code, refused.json["code"]) == (429, "storage_quota_exceeded")
    assert len(stand_in.keys()) == 1


def test_an_upload_that_nobody_used_gives_its_room_back(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings, max_stored_bytes_per_owner=100)
    assert web.post("/v1/uploads", data=b"x" * 100).status_code == 201
    assert web.post("/v1/uploads", data=b"x").status_code == 429
    impatient = settings.model_copy(update={"upload_abandoned_seconds": 0.0})
    assert Collector(impatient, stand_in.storage).collect()
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


def share(stand_in: StandIn, size_bytes: int) -> float:
    """Return the bytes as a share of Redis's limit."""
    return size_bytes / int(stand_in.store._redis.info("memory")["maxmemory"])


def reckoned(stand_in: StandIn, owner: str = "local") -> tuple[int, int]:
    """Return the estimated size in Redis of an owner's records, and of all records."""
    redis, prefix = stand_in.store._redis, stand_in.settings.redis_prefix
    return int(redis.hget(f"{prefix}usage:{owner}", "records") or 0), int(redis.get(f"{prefix}records") or 0)


def test_an_owner_whose_records_take_their_share_of_redis_is_told_so_and_others_are_not(
    settings: Settings, stand_in: StandIn
) -> None:
    web = client(settings, max_redis_share_per_owner=share(stand_in, 12_000))
    anna, bert = make_key(settings), make_key(settings, "bert")
    upload = web.post("/v1/uploads", data=b"s\0ng", headers=anna).json["upload_id"]
    job, batch = {"source": {"upload_id": upload}}, {"items": [{"track": "a", "source": {"upload_id": upload}}]}
    taken = []
    while (answer := web.post("/v1/jobs", json=job, headers=anna)).status_code == 202:
        taken.append(answer.headers["Location"])
    assert len(taken) == 3
    before = stand_in.keys()
    refusals = [
        answer,
        web.post("/v1/batches", json=batch, headers=anna),
        web.post("/v1/uploads", data=b"s\0ng", headers=anna),
    ]
    for refused in refusals:
        assert (refused.status_code, refused.json["code"]) == (429, "records_quota_exceeded")
        assert int(refused.headers["Retry-After"]) > 0
    assert stand_in.keys() == before, "nothing is left of what was refused"
    theirs = web.post("/v1/uploads", data=b"s\0ng", headers=bert).json["upload_id"]
    assert web.post("/v1/jobs", json={"source": {"upload_id": theirs}}, headers=bert).status_code == 202
    web.post(f"{taken[0]}/cancel", headers=anna)
    assert web.delete(taken[0], headers=anna).status_code == 204
    assert web.post("/v1/jobs", json=job, headers=anna).status_code == 202, "deleting gives room at once"


def test_large_metadata_counts_as_it_is(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings)
    submit(web, metadata=json.dumps({"x": "y" * 16_000}))
    assert reckoned(stand_in)[0] > 20_000


def test_what_is_deleted_counts_no_more(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings)
    paths = [submit(web).headers["Location"] for _ in range(3)]
    stand_in.succeed(paths[0].rsplit("/", 1)[1])
    stand_in.fail(paths[1].rsplit("/", 1)[1])
    web.post(f"{paths[2]}/cancel")
    web.post(f"{paths[2]}/retry")
    web.post(f"{paths[2]}/cancel")
    batch = web.post("/v1/batches", json={"items": [{"track": "a", "source": {"upload_id": "0" * 32}}]})
    web.post(f"{batch.headers['Location']}/cancel")
    assert reckoned(stand_in) > (15_000, 15_000)
    for path in (*paths, batch.headers["Location"]):
        assert web.delete(path).status_code == 204
    assert reckoned(stand_in) == (0, 0)


def test_idempotency_keys_count_for_their_day(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings, max_redis_share_per_owner=share(stand_in, 7_500))
    path = submit(web).headers["Location"]
    codes = []
    for number in range(8):
        call = ("cancel", "retry")[number % 2]
        answer = web.post(f"{path}/{call}", headers={"Idempotency-Key": str(number)})
        codes.append(answer.json.get("code"))
    assert codes[0] is None
    assert codes[-1] == "records_quota_exceeded"
    assert web.post(f"{path}/cancel").status_code in {200, 409}, "without a key nothing is kept"
    hours = f"{settings.redis_prefix}repetitions:local"
    redis = stand_in.store._redis
    redis.hset(hours, mapping={"1": redis.hvals(hours)[0]})
    redis.hdel(hours, next(hour for hour in redis.hkeys(hours) if hour != "1"))  # a day has passed
    again = web.post(f"{path}/retry", headers={"Idempotency-Key": "tomorrow"})
    assert again.json.get("code") != "records_quota_exceeded"


def test_a_refused_request_leaves_no_record_of_its_key(settings: Settings, stand_in: StandIn) -> None:
    web = client(settings)
    assert web.post("/v1/batches", json={}, headers={"Idempotency-Key": "1"}).status_code == 422
    redis = stand_in.store._redis
    assert redis.hvals(f"{settings.redis_prefix}repetitions:local") == ["0"]
    assert list(redis.scan_iter("sq:idempotency:*")) == []


def test_kinds_of_work_that_clients_make_up_are_forgotten_again(stand_in: StandIn) -> None:
    redis = stand_in.store._redis
    redis.zadd("sq:kinds", {f"e:{n}": n for n in range(600)})
    redis.set("sq:course:e:0", "0.5 0.5")
    web = client(stand_in.settings)
    job_id = submit(web, parameters=json.dumps({"neighbours": 7})).json["id"]
    claim = stand_in.claim(stand_in.published_ids()[0])
    assert claim.job.id == job_id
    probed, report = {"duration_seconds": 9.0}, {"seconds": {"total": 1.0}}
    assert stand_in.store.claims.succeed(claim, outputs=[], probed=probed, report=report, busy_seconds=1.0)
    assert redis.zcard("sq:kinds") == 500
    assert redis.exists("sq:course:e:0") == 0


def test_a_redis_that_does_not_tell_its_memory_is_taken_to_have_enough(
    settings: Settings, valkey: ValkeyServer
) -> None:
    here = settings.model_copy(update={"redis_url": valkey.url})
    operator = connection.connect(here)
    StandIn(here).announce()
    operator.execute_command("ACL", "SETUSER", "default", "-info")
    web = client(here, max_redis_share_per_owner=1e-9)
    assert submit(web).status_code == 202


def test_a_full_redis_is_named_as_the_reason(settings: Settings, valkey: ValkeyServer) -> None:
    here = settings.model_copy(update={"redis_url": valkey.url})
    StandIn(here).announce()
    operator = connection.connect(here)
    web = client(here)
    operator.config_set("maxmemory", int(operator.info("memory")["used_memory"] * 1.05))
    refused = submit(web)
    assert (refused.status_code, refused.json["code"]) == (503, "queue_memory_full")
    assert refused.headers["Retry-After"] == "30"
    assert set(web.get("/readyz").json["faults"]) == {"redis"}


def test_a_refused_batch_leaves_nothing_behind(settings: Settings, stand_in: StandIn) -> None:
    """Otherwise requests that are all refused could fill the storage."""
    body = {"items": [{"source": {"upload_id": "0" * 32}, "metadata": {"note": "x" * 1_000}}]}
    unsent = client(settings).post("/v1/batches", json={**body, "webhook_url": "https://music.example/"})
    assert (unsent.status_code, unsent.json["code"]) == (422, "request_invalid")
    assert stand_in.keys() == []
    refused = client(settings, max_stored_bytes_per_owner=500).post("/v1/batches", json=body)
    assert (refused.status_code, refused.json["code"]) == (429, "storage_quota_exceeded")
    assert stand_in.keys() == []


def test_a_refused_repetition_leaves_the_batch_that_was_accepted(
    settings: Settings, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may become full between the first request, whose answer got lost, and the second."""
    web, body = client(settings), {"items": [{"source": {"upload_id": "0" * 32}}]}
    accepted = web.post("/v1/batches", json=body).json["id"]
    stored = stand_in.keys()

    def full(*_: object, **__: object) -> None:
        raise StoreFullError("Redis is full.")

    submission = web.application.extensions["stemqueue"].batch_submitter
    monkeypatch.setattr(submission.batches, "create", full)
    wanted = BatchSubmission.model_validate(body)
    with pytest.raises(StoreFullError):
        submission.submit_batch(Sender("local", ""), wanted, batch_id=accepted)
    assert stand_in.keys() == stored
