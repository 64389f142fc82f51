"""A POST that is sent again does nothing again: on a real Redis, through crashes and races."""

from __future__ import annotations

import base64
import json
import random
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
import redis
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from api import idempotency_records
from api.routes import idempotency
from shared.errors import StoreUnavailableError
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit

KEY = {"Idempotency-Key": "album 7, track 3"}


def submit_again(web: FlaskClient, content: bytes = b"a\0song", **fields: Any) -> TestResponse:
    form = httpx2.Request("POST", "http://localhost", data=fields, files={"file": ("song.mp3", content)})
    return web.post("/v1/jobs", data=form.read(), content_type=form.headers["Content-Type"], headers=KEY)


def jobs(web: FlaskClient) -> int:
    return len(web.get("/v1/jobs").json["jobs"])


def test_the_same_form_again_shows_the_same_job_as_it_is_now(web: FlaskClient, stand_in: StandIn) -> None:
    first = submit_again(web, format="wav")
    assert first.status_code == 202
    assert submit_again(web, format="wav").data == first.data
    stand_in.queue.dispatch()
    stand_in.succeed(first.json["id"])
    before = stand_in.keys()
    again = submit_again(web, format="wav")
    assert (again.status_code, again.json["id"], again.json["state"]) == (202, first.json["id"], "succeeded")
    for name in ("Location", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["ETag"] == web.get(first.headers["Location"]).headers["ETag"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert jobs(web) == 1
    assert stand_in.keys() == before, "a repetition stores nothing"


def records(stand_in: StandIn) -> list[str]:
    with redis.Redis.from_url(stand_in.settings.redis_url, decode_responses=True) as client:
        return list(client.scan_iter("sq:idempotency:*"))


def test_a_record_holds_the_id_alone_however_large_the_answer(web: FlaskClient, stand_in: StandIn) -> None:
    metadata = json.dumps({"noise": random.Random(1).randbytes(7000).hex()})
    assert submit_again(web, metadata=metadata).json["metadata"] == json.loads(metadata)
    (record,) = records(stand_in)
    with redis.Redis.from_url(stand_in.settings.redis_url) as client:
        assert client.memory_usage(record) < 500
    assert submit_again(web, metadata=metadata).json["metadata"] == json.loads(metadata)


def test_what_was_deleted_since_is_told_and_not_made_again(web: FlaskClient, stand_in: StandIn) -> None:
    first = submit_again(web)
    web.post(f"{first.headers['Location']}/cancel")
    assert web.delete(first.headers["Location"]).status_code == 204
    again = submit_again(web)
    assert (again.status_code, again.json["code"]) == (410, "repeated_too_late")
    assert first.json["id"] in again.json["detail"]
    assert (jobs(web), stand_in.keys()) == (0, [])


def test_an_answer_that_the_version_before_kept_whole_is_given_again(web: FlaskClient, stand_in: StandIn) -> None:
    first = submit_again(web)
    (record,) = records(stand_in)
    kept = json.dumps([202, {"Location": first.headers["Location"], "ETag": 'W/"1"'}, first.text])
    with redis.Redis.from_url(stand_in.settings.redis_url) as client:
        client.hdel(record, "made")
        client.hset(record, "answer", base64.b64encode(zlib.compress(kept.encode())).decode())
    stand_in.queue.dispatch()
    stand_in.succeed(first.json["id"])
    again = submit_again(web)
    assert (again.status_code, again.data, again.headers["ETag"]) == (202, first.data, 'W/"1"')
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_batch_again_is_the_same_batch_as_it_is_now(web: FlaskClient, stand_in: StandIn) -> None:
    del stand_in
    body = {"items": [{"track": "a", "source": {"upload_id": "0" * 32}}]}
    first = web.post("/v1/batches", json=body, headers=KEY)
    assert web.post(f"{first.headers['Location']}/cancel", headers={"Idempotency-Key": "2"}).status_code == 202
    again = web.post("/v1/batches", json=body, headers=KEY)
    assert (again.status_code, again.json["id"], again.json["state"]) == (202, first.json["id"], "canceled")
    assert again.headers["Location"] == first.headers["Location"]
    canceled = web.post(f"{first.headers['Location']}/cancel", headers={"Idempotency-Key": "2"})
    assert (canceled.status_code, canceled.json["id"]) == (202, first.json["id"])
    assert web.delete(first.headers["Location"]).status_code == 204
    again = web.post("/v1/batches", json=body, headers=KEY)
    assert (again.status_code, again.json["code"]) == (410, "repeated_too_late")
    assert web.get("/v1/batches").json["batches"] == []


@pytest.mark.parametrize("other", [{"content": b"another\0song"}, {"format": "mp3"}, {"engine": "repetition"}])
def test_another_body_under_the_same_key_is_refused(web: FlaskClient, stand_in: StandIn, other: dict[str, Any]) -> None:
    assert submit_again(web).status_code == 202
    before = stand_in.keys()
    with capture_logs() as told:
        refused = submit_again(web, **other)
    assert [line for line in told if line["log_level"] == "warning"] == []
    assert (refused.status_code, refused.json["code"]) == (422, "idempotency_key_reused")
    assert (jobs(web), stand_in.keys()) == (1, before)
    assert submit_again(web).status_code == 202, "the first one is still known"


def test_without_a_key_the_same_again_is_another_job(web: FlaskClient, stand_in: StandIn) -> None:
    del stand_in
    assert submit(web).json["id"] != submit(web).json["id"]


def test_a_refused_request_may_be_corrected_under_its_key(web: FlaskClient, stand_in: StandIn) -> None:
    refused = submit_again(web, engine="no-such")
    assert refused.status_code == 422
    assert stand_in.keys() == []
    assert submit_again(web).status_code == 202


def test_json_uploads_cancels_and_retries_take_a_key_too(web: FlaskClient, stand_in: StandIn) -> None:
    del stand_in
    first, again = (web.post("/v1/uploads?filename=a.mp3", data=b"a\0song", headers=KEY) for _ in range(2))
    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert web.post("/v1/uploads?filename=b.mp3", data=b"a\0song", headers=KEY).status_code == 422
    source = {"upload_id": first.json["upload_id"]}
    key = {"Idempotency-Key": "2"}
    jobs = [web.post("/v1/jobs", json={"source": source}, headers=key) for _ in range(2)]
    assert (jobs[0].status_code, jobs[0].data) == (jobs[1].status_code, jobs[1].data)
    path = jobs[0].headers["Location"]
    for number, call in enumerate(("cancel", "retry")):
        answers = [web.post(f"{path}/{call}", headers={"Idempotency-Key": f"c{number}"}) for _ in range(2)]
        assert answers[0].status_code < 300
        assert (answers[0].status_code, answers[0].json["id"]) == (answers[1].status_code, answers[1].json["id"])
        assert web.post(f"{path}/{call}").status_code in {200, 409}


def test_a_key_that_is_held_answers_409_until_its_lease_ends(
    web: FlaskClient, stand_in: StandIn, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    del stand_in
    store = idempotency_records.IdempotencyStore(settings)
    name = idempotency.hashlib.sha256(f"local {KEY['Idempotency-Key']}".encode()).hexdigest()
    held = store.reserve_key(name, "local", "another request", "0" * 32)
    assert isinstance(held, idempotency_records.Held)
    refused = submit_again(web)
    assert (refused.status_code, refused.json["code"]) == (409, "idempotency_key_in_use")
    assert int(refused.headers["Retry-After"]) > 0
    # The other request's process dies here.
    monkeypatch.setattr(idempotency_records, "LEASE_SECONDS", -1.0)
    store.reserve_key(name, "local", "another request", "0" * 32)
    taken_over = submit_again(web)
    assert taken_over.status_code == 202
    assert taken_over.json["id"] == held.resource_id, "both make the same job"


def test_a_crash_between_doing_and_answering_makes_no_second_job(
    web: FlaskClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(idempotency_records.IdempotencyStore, "record_answer", die)
        first = submit_again(web)
    assert first.status_code == 202, "what is done is answered"
    monkeypatch.setattr(idempotency_records, "LEASE_SECONDS", 20.0)
    client = redis.Redis.from_url(stand_in.settings.redis_url, decode_responses=True)
    (record,) = client.scan_iter("sq:idempotency:*")
    client.hset(record, "open_until_ms", 0)
    again = submit_again(web)
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert jobs(web) == 1
    assert len(stand_in.keys()) == 1, "the second mixture was taken back"


def test_many_at_once_are_one_job(api_url: str, stand_in: StandIn) -> None:
    def post(_: int) -> httpx2.Response:
        return httpx2.post(f"{api_url}/v1/jobs", files={"file": ("a.mp3", b"x" * 300_000)}, headers=KEY, timeout=30)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    # 429: one owner may hold four of the eight threads.
    assert {a.status_code for a in answers} <= {202, 409, 429}
    assert len({a.json()["id"] for a in answers if a.status_code == 202}) == 1
    assert len(stand_in.keys()) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "caf\xe9"])
def test_a_key_must_be_short_and_printable(web: FlaskClient, key: str) -> None:
    refused = web.post("/v1/uploads", data=b"x", headers={"Idempotency-Key": key.encode("latin-1").decode("latin-1")})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "Idempotency-Key"
