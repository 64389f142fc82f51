"""Chains that one request asks for: jobs that wait for the job whose output is their mixture, with real servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared.errors import FieldsInvalidError
from shared.jobs.model import Job
from shared.jobs.store import JobStore
from shared.maintenance.garbage_collector import Collector
from tests.fixtures.api import StandIn, submit

LEAD: dict[str, Any] = {"from": "vocals", "format": "mp3", "metadata": {"part": "lead"}}


class Chain:
    """A song, its vocals separated again, and the vocals of these."""

    def __init__(self, web: FlaskClient, stand_in: StandIn) -> None:
        self.web, self.stand_in = web, stand_in
        deep = {**LEAD, "then": [{"from": "vocals"}]}
        self.first = self.read(submit(web, then=json.dumps([deep]), priority="bulk").json["id"])
        self.second = self.read(self.first["then"][0]["job_id"])
        self.third = self.read(self.second["then"][0]["job_id"])

    @property
    def ids(self) -> list[str]:
        return [job["id"] for job in (self.first, self.second, self.third)]

    @property
    def states(self) -> list[str]:
        return [self.read(job_id)["state"] for job_id in self.ids]

    def read(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.web.get(f"/v1/jobs/{job_id}").json
        return job

    def published(self) -> list[str]:
        return [job_id for job_id in self.stand_in.published_ids() if job_id in self.ids]

    def retry(self, job_id: str) -> int:
        return self.web.post(f"/v1/jobs/{job_id}/retry").status_code

    def cancel(self, job_id: str) -> int:
        return self.web.post(f"/v1/jobs/{job_id}/cancel").status_code

    def run(self) -> Job:
        (job_id,) = self.published()
        return self.stand_in.succeed(job_id)


@pytest.fixture
def chain(web: FlaskClient, stand_in: StandIn) -> Chain:
    return Chain(web, stand_in)


def test_each_job_is_queued_when_its_source_has_succeeded(chain: Chain) -> None:
    first, second, third = chain.ids
    waiting = chain.second
    assert (waiting["state"], waiting["waiting_for"], waiting["queue_position"]) == ("queued", "source", None)
    assert first in waiting["waiting_because"]
    assert (waiting["source"]["job_id"], waiting["source"]["output"]) == (first, "vocals")
    assert chain.first["then"] == [{"job_id": second, "output": "vocals"}]
    assert (waiting["format"], waiting["priority"], waiting["metadata"]) == ("mp3", "bulk", {"part": "lead"})
    assert chain.web.get(f"/v1/jobs/{second}/source").json["code"] == "output_not_found"
    listed = {job["id"]: job["waiting_for"] for job in chain.web.get("/v1/jobs").json["jobs"]}
    assert listed == {first: None, second: "source", third: "source"}
    assert chain.published() == [first]
    ended = chain.stand_in.succeed(first)
    vocals = next(o for o in ended.outputs if (o.kind, o.name) == ("stem", "vocals"))
    released = chain.stand_in.store.read_job(second)
    source = released.request.source
    assert (source.key, source.etag, source.sha256) == (vocals.key, vocals.etag, vocals.sha256)
    assert (source.filename, source.duration_seconds) == ("song - vocals.flac", 1.5)
    assert (released.waiting_for, released.queue_position) == (None, 1)
    shown = chain.web.get(f"/v1/jobs/{second}/source").data
    assert shown == chain.web.get(f"/v1/jobs/{first}/stems/vocals").data
    assert chain.read(third)["waiting_for"] == "source"
    assert chain.run().id == second
    assert chain.run().id == third
    assert chain.states == ["succeeded"] * 3
    assert chain.read(third)["source"]["filename"] == "song - vocals - vocals.mp3"


def test_what_a_waiting_job_needs_is_neither_deleted_nor_expires(chain: Chain) -> None:
    first, second, third = chain.ids
    chain.run()
    redis, prefix = chain.stand_in.store._redis, chain.stand_in.settings.redis_prefix
    redis.hset(f"{prefix}job:{first}", "expires_ms", 1)
    redis.zadd(f"{prefix}settled", {first: 1})
    assert chain.web.delete(f"/v1/jobs/{first}").status_code == 409
    collector = Collector(chain.stand_in.settings, chain.stand_in.storage)
    collector.collect(now=True)
    assert chain.web.get(f"/v1/jobs/{second}/source").status_code == 200
    chain.run()
    collector.collect(now=True)
    assert chain.web.get(f"/v1/jobs/{first}").status_code == 404, "nothing needs it any more"
    chain.run()
    for job_id in (second, third):
        assert chain.web.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert chain.stand_in.keys() == ["instance"]
    assert not [key for key in redis.keys(f"{prefix}*") if first in key or second in key or third in key]


def test_a_canceled_job_takes_along_what_follows(chain: Chain) -> None:
    assert chain.cancel(chain.ids[0]) == 200
    assert chain.states == ["canceled"] * 3
    assert chain.retry(chain.ids[1]) == 409, "its source is canceled"
    assert chain.retry(chain.ids[0]) == 202
    assert [chain.read(i)["waiting_for"] for i in chain.ids] == [None, "source", "source"]
    assert [chain.run().id for _ in chain.ids] == chain.ids


def test_a_canceled_job_in_the_middle_leaves_what_came_before(chain: Chain) -> None:
    first, second, third = chain.ids
    assert chain.cancel(second) == 200
    assert chain.states == ["queued", "canceled", "canceled"]
    assert chain.retry(third) == 409
    chain.run()
    assert chain.published() == []
    assert chain.retry(second) == 202
    assert [chain.run().id, chain.run().id] == [second, third], "the source was there already"
    assert first == chain.read(second)["source"]["job_id"]


def test_a_cancel_of_a_job_that_has_ended_ends_what_follows(chain: Chain) -> None:
    first, second, third = chain.ids
    chain.run()
    chain.stand_in.claim(chain.published()[0])
    assert chain.states == ["succeeded", "running", "queued"]
    answer = chain.web.post(f"/v1/jobs/{first}/cancel")
    assert (answer.status_code, answer.json["id"], answer.json["state"]) == (200, first, "succeeded")
    assert chain.states == ["succeeded", "canceled", "canceled"]
    assert chain.cancel(first) == 409, "nothing is left to be canceled"
    assert chain.retry(second) == 202
    assert chain.states == ["succeeded", "queued", "queued"]
    chain.run()
    assert chain.cancel(first) == 200, "the last job is found behind one that has ended"
    assert chain.read(third)["state"] == "canceled"


def test_a_retry_above_a_limit_that_was_lowered_says_that_waiting_does_not_help(chain: Chain) -> None:
    assert chain.cancel(chain.ids[0]) == 200
    settings = chain.stand_in.settings.model_copy(update={"max_queued_jobs_per_owner": 2})
    lowered = JobStore(settings, chain.stand_in.store._redis)
    with pytest.raises(FieldsInvalidError, match="the chain has 3 jobs, and an owner may have 2 queued jobs"):
        lowered.retry(chain.ids[0])
    assert chain.states == ["canceled"] * 3


def test_a_retry_of_the_source_leaves_what_was_canceled_by_itself(chain: Chain) -> None:
    first, second, third = chain.ids
    assert chain.cancel(second) == 200
    assert chain.cancel(first) == 200
    assert chain.retry(first) == 202
    assert chain.states == ["queued", "canceled", "canceled"]
    assert chain.retry(second) == 202
    assert [chain.run().id for _ in chain.ids] == [first, second, third], "the third ended with the second"


def test_the_time_until_the_source_is_there_is_no_age_in_the_queue(chain: Chain) -> None:
    first, second, _ = chain.ids
    chain.published()
    (length,) = [length for length in chain.stand_in.queue.queue_lengths() if length.priority == "bulk"]
    assert (length.waiting, length.published) == (0, 1), "those that wait for their source are not in the queue"
    redis, prefix = chain.stand_in.store._redis, chain.stand_in.settings.redis_prefix
    redis.hincrby(f"{prefix}job:{second}", "created_ms", -3_600_000)
    claim = chain.stand_in.claim(first)
    chain.stand_in.queue.pause("repetition")
    later = submit(chain.web, content=b"l\0song", priority="bulk").json["id"]
    redis.hincrby(f"{prefix}job:{later}", "queued_ms", -1_800_000)
    chain.stand_in.succeed_claim(claim, b"stem")
    (length,) = [length for length in chain.stand_in.queue.queue_lengths() if length.priority == "bulk"]
    assert redis.zrange(f"{prefix}line:repetition:bulk:local", 0, -1) == [second, later]
    assert 1_700 < length.oldest_age_seconds < 1_900, "that of the job behind, which was ready earlier"


def test_what_an_older_version_canceled_is_no_longer_awaited(chain: Chain) -> None:
    first, second, _ = chain.ids
    redis, prefix = chain.stand_in.store._redis, chain.stand_in.settings.redis_prefix
    redis.hset(f"{prefix}job:{second}", "state", "canceled")
    chain.run()
    assert not redis.exists(f"{prefix}job:{first}:followers")
    redis.sadd(f"{prefix}job:{first}:followers", second)
    redis.delete(f"{prefix}job:{first}:readers")
    assert chain.web.delete(f"/v1/jobs/{first}").status_code == 204
    assert not redis.exists(f"{prefix}job:{first}:followers"), "deleted with the record"


def test_a_failure_ends_what_follows_and_names_the_source(chain: Chain) -> None:
    first, second, third = chain.ids
    chain.stand_in.fail(chain.published()[0])
    assert chain.states == ["failed"] * 3
    for job_id, source in ((second, first), (third, second)):
        error = chain.read(job_id)["error"]
        assert (error["code"], error["source_job_id"], error["retryable"]) == ("source_failed", source, False)
        assert source in error["message"]
    assert "The file is no audio." in chain.read(second)["error"]["message"]
    assert chain.retry(first) == 202
    assert chain.states == ["queued"] * 3
    assert chain.read(second)["error"] is None
    assert [chain.run().id for _ in chain.ids] == chain.ids


def test_a_source_that_lacks_the_output_ends_what_follows(chain: Chain) -> None:
    claim = chain.stand_in.claim(chain.published()[0])
    assert chain.stand_in.store.claims.succeed(claim, outputs=[], probed={}, report={})
    assert chain.states == ["succeeded", "failed", "failed"]
    error = chain.read(chain.ids[1])["error"]
    assert error["code"] == "source_failed"
    assert "vocals" in error["message"]
    assert chain.retry(chain.ids[1]) == 410


def test_a_lost_worker_ends_what_follows(chain: Chain) -> None:
    redis, prefix = chain.stand_in.store._redis, chain.stand_in.settings.redis_prefix
    for _ in range(chain.stand_in.settings.max_losses):
        (job_id,) = chain.published()
        chain.stand_in.claim(job_id)
        redis.zadd(f"{prefix}running", {job_id: 1})
        chain.stand_in.queue.rescue()
    assert chain.states == ["failed"] * 3
    assert chain.read(chain.ids[0])["error"]["code"] == "worker_lost"
    assert chain.read(chain.ids[1])["error"]["source_job_id"] == chain.ids[0]


def test_the_rescuer_finds_jobs_whose_source_ended_without_them(chain: Chain) -> None:
    """A process of an older version, which knows no chains, may end a job whose lease ran out."""
    first, second, third = chain.ids
    redis, prefix = chain.stand_in.store._redis, chain.stand_in.settings.redis_prefix
    redis.delete(f"{prefix}job:{first}:followers")
    chain.run()
    assert chain.published() == []
    redis.zadd(f"{prefix}delayed", {second: 1, third: 1})
    chain.stand_in.queue.rescue()
    assert chain.published() == [second]
    assert redis.zscore(f"{prefix}delayed", third) > 1, "its source has not ended"
    redis.zadd(f"{prefix}published:repetition", {third: 1})
    redis.sadd(f"{prefix}bulk:repetition", third)
    assert chain.stand_in.store.claims.take(third, "w") is None, "it has no source yet"
    assert redis.smembers(f"{prefix}bulk:repetition") == {second}, "it takes no slot"
    assert chain.run().id == second
    assert chain.run().id == third


def test_one_key_makes_one_chain(web: FlaskClient, stand_in: StandIn) -> None:
    upload = web.post("/v1/uploads", data=b"f\0song").json["upload_id"]
    body = {"source": {"upload_id": upload}, "then": [LEAD, {"from": "accompaniment"}]}
    answers = [web.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}).json for _ in range(2)]
    assert answers[0]["then"] == answers[1]["then"]
    assert len(web.get("/v1/jobs").json["jobs"]) == 3
    stand_in.succeed(*stand_in.published_ids())
    assert sorted(stand_in.published_ids()) == sorted(job["job_id"] for job in answers[0]["then"])


def test_a_chain_continues_a_job_that_has_ended(web: FlaskClient, stand_in: StandIn) -> None:
    ended = submit(web).json["id"]
    stand_in.succeed(*stand_in.published_ids())
    body = {"source": {"job_id": ended, "output": "vocals"}, "then": [{"from": "vocals"}]}
    first = web.post("/v1/jobs", json=body).json
    stand_in.succeed(*stand_in.published_ids())
    assert stand_in.published_ids() == [first["then"][0]["job_id"]]


def nested(levels: int) -> list[dict[str, Any]]:
    return [{"from": "vocals", "then": nested(levels - 1)}] if levels else []


@pytest.mark.parametrize(
    ("then", "field"),
    [
        ([{"from": "drums"}], "then.0.from"),
        ([{"engine": "repetition"}], "then.0.from"),
        ([{"from": "vocals", "engine": "none"}], "then.0.engine"),
        ([{"from": "vocals", "then": [{"from": "vocals", "preset": "none"}]}], "then.0.then.0.preset"),
        ([{"from": "vocals", "stems": ["vocals"], "then": [{"from": "accompaniment"}]}], "then.0.then.0.from"),
        ([{"from": "vocals", "priority": "bulk"}], "then.0.priority"),
        (nested(5), "then"),
        (nested(25), "then"),
        ([LEAD] * 8, "then"),
        ("vocals", "then"),
    ],
)
@pytest.mark.usefixtures("stand_in")
def test_what_is_wrong_with_a_chain_is_said(web: FlaskClient, then: Any, field: str) -> None:
    upload = web.post("/v1/uploads", data=b"f\0song").json["upload_id"]
    answer = web.post("/v1/jobs", json={"source": {"upload_id": upload}, "then": then})
    assert (answer.status_code, answer.json["code"]) == (422, "request_invalid")
    assert answer.json["errors"][0]["field"] == field
    assert web.get("/v1/jobs").json["jobs"] == [], "nothing is made"


def test_the_largest_chain_is_accepted(web: FlaskClient) -> None:
    chains = [*nested(4), *([LEAD] * 3)]
    assert submit(web, then=json.dumps(chains)).status_code == 202
    assert len(web.get("/v1/jobs").json["jobs"]) == 8
