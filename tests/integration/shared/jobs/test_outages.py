"""An outage of Redis or of the storage costs no job an attempt, and the records show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.jobs.claims import Claim
from shared.jobs.model import Job
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker
from shared.settings import Settings
from tests.fixtures.api import ENGINE, StandIn
from tests.fixtures.servers import ValkeyServer

REQUEST = JobRequest(source=Source("uploads/x", "x.wav", 1), engine="repetition")
FAULT = "The storage refuses (SlowDown)."


def let_the_lease_run_out(store: JobStore, job_id: str, *, renewed_ms_ago: int) -> None:
    """Set back the time of the last heartbeat by this many seconds; leases last a minute."""
    seconds, microseconds = store._redis.time()
    now_ms = 1000 * seconds + microseconds // 1000
    store._redis.zadd("sq:running", {job_id: now_ms - renewed_ms_ago + 60_000})


@pytest.fixture
def begin(stand_in: StandIn) -> Callable[[], Job]:
    def submit_and_claim() -> Job:
        job = stand_in.store.submit(REQUEST)
        stand_in.queue.dispatch()
        return stand_in.claim(job.id).job

    return submit_and_claim


def beat(stand_in: StandIn, **told: Any) -> None:
    worker = Worker("stand-in", 1, ("repetition",), (ENGINE,))
    was_away = told.pop("was_away", False)
    stand_in.workers.heartbeat(replace(worker, **told), was_away=was_away)


def test_a_lease_that_was_last_renewed_before_an_outage_is_not_charged(
    stand_in: StandIn, begin: Callable[[], Job]
) -> None:
    job = begin()
    let_the_lease_run_out(stand_in.store, job.id, renewed_ms_ago=61_000)
    beat(stand_in, was_away=True)
    rescue = stand_in.queue.rescue()
    assert (rescue.leases, rescue.uncharged) == (0, 1)
    after = stand_in.store.read_job(job.id)
    assert (after.state, after.attempt, after.losses, after.attempt_errors) == ("queued", 0, 0, ())


def test_a_lease_that_was_renewed_after_the_outage_is_charged(stand_in: StandIn, begin: Callable[[], Job]) -> None:
    beat(stand_in, was_away=True)
    seconds, _ = stand_in.store._redis.time()
    stand_in.store._redis.set("sq:away", 1000 * seconds - 90_000)
    job = begin()
    let_the_lease_run_out(stand_in.store, job.id, renewed_ms_ago=61_000)
    rescue = stand_in.queue.rescue()
    assert (rescue.leases, rescue.uncharged) == (1, 0)
    after = stand_in.store.read_job(job.id)
    assert (after.attempt, after.losses, [e["code"] for e in after.attempt_errors]) == (1, 1, ["worker_lost"])


def test_a_rescue_that_lay_in_the_buffer_of_a_hung_redis_charges_nobody(
    stand_in: StandIn, begin: Callable[[], Job]
) -> None:
    """Redis runs it when it goes on, before any worker can say that Redis was away."""
    job = begin()
    let_the_lease_run_out(stand_in.store, job.id, renewed_ms_ago=61_000)
    beat(stand_in)
    seconds, _ = stand_in.store._redis.time()
    stand_in.store._redis.zadd("sq:workers", {"stand-in": 1000 * seconds - 55_000})
    held_up = stand_in.queue.rescue(worker_id="stand-in")
    assert (held_up.leases, held_up.uncharged) == (0, 0)
    assert stand_in.store.read_job(job.id).state == "running", "its worker may still renew the lease"
    beat(stand_in)
    rescue = stand_in.queue.rescue(worker_id="stand-in")
    assert (rescue.leases, rescue.uncharged) == (0, 1)
    assert stand_in.store.read_job(job.id).attempt_errors == ()


def test_a_rescue_right_after_a_heartbeat_charges(stand_in: StandIn, begin: Callable[[], Job]) -> None:
    job = begin()
    let_the_lease_run_out(stand_in.store, job.id, renewed_ms_ago=61_000)
    beat(stand_in)
    assert stand_in.queue.rescue(worker_id="stand-in").leases == 1


def test_a_server_that_starts_is_noticed_once(valkey: ValkeyServer) -> None:
    queue = JobQueue(Settings(redis_url=valkey.url))
    other = JobQueue(Settings(redis_url=valkey.url, redis_prefix="other:"))
    assert [queue.is_new_server(), queue.is_new_server()] == [True, False]
    assert [other.is_new_server(), other.is_new_server()] == [True, False], "deployments that share it do not mix"
    valkey.kill()
    valkey.start()
    assert [queue.is_new_server(), queue.is_new_server()] == [True, False]


def test_a_claim_asked_for_twice_with_one_token_is_one_claim(stand_in: StandIn) -> None:
    job = stand_in.store.submit(REQUEST)
    stand_in.queue.dispatch()
    first = stand_in.store.claims.take(job.id, "w", "token")
    again = stand_in.store.claims.take(job.id, "w", "token")
    assert first
    assert again
    assert (again.fence, again.job.attempt) == (first.fence, 1)
    assert stand_in.store.claims.take(job.id, "w", "another") is None
    assert stand_in.store.claims.take(job.id, "w") is None


def test_a_hand_back_said_twice_is_still_true(stand_in: StandIn, begin: Callable[[], Job]) -> None:
    job = begin()
    claim = Claim(job, job.fence)
    assert [stand_in.store.claims.hand_back(claim), stand_in.store.claims.hand_back(claim)] == [True, True]
    assert stand_in.store.read_job(job.id).attempt == 0


def test_a_job_whose_object_is_not_served_waits_longer_each_time_and_says_why(stand_in: StandIn) -> None:
    redis = stand_in.store._redis
    job_id = stand_in.store.submit(REQUEST).id
    pauses = []
    for _ in range(12):
        stand_in.queue.dispatch()
        claim = stand_in.claim(job_id)
        assert stand_in.store.read_job(job_id).waiting_because is None
        assert stand_in.store.claims.hand_back(claim, reason=FAULT)
        told = stand_in.store.read_job(job_id)
        assert (told.state, told.attempt, told.attempt_errors) == ("queued", 0, ())
        assert (told.waiting_because, told.queue_position) == (FAULT, None)
        seconds, _ = redis.time()
        pauses.append(redis.zscore("sq:delayed", job_id) / 1000 - seconds)
        redis.zadd("sq:delayed", {job_id: 1})
        stand_in.queue.rescue()
    assert pauses[0] < 10
    assert pauses[4] > 30
    assert max(pauses) <= 302, "at most five minutes"
    assert stand_in.store.cancel(job_id).waiting_because is None


def test_workers_that_wait_for_the_storage_get_nothing_and_jobs_say_so(stand_in: StandIn) -> None:
    first = stand_in.store.submit(REQUEST)
    assert stand_in.published_ids() == [first.id]
    beat(stand_in, fault=FAULT)
    second = stand_in.store.submit(replace(REQUEST, priority="bulk"))
    assert stand_in.published_ids() == [first.id], "nothing more is published"
    assert stand_in.queue.put_back(first.id)
    assert not stand_in.queue.put_back(first.id)
    assert stand_in.published_ids() == []
    for job in (first, second):
        told = stand_in.store.read_job(job.id)
        assert (told.waiting_because, told.eta_seconds) == (FAULT, None)
    assert [stand_in.store.read_job(i).queue_position for i in (first.id, second.id)] == [1, 2]
    beat(stand_in)
    assert set(stand_in.published_ids()) == {first.id, second.id}
    assert stand_in.store.read_job(second.id).waiting_because is None


def test_a_job_whose_engine_no_live_worker_has_says_so(stand_in: StandIn, begin: Callable[[], Job]) -> None:
    running = begin()
    jobs = [stand_in.store.submit(replace(REQUEST, engine=engine)).id for engine in ("repetition", "removed")]

    def told() -> list[tuple[str | None, bool]]:
        read = [stand_in.store.read_job(job_id) for job_id in (running.id, *jobs)]
        return [(job.waiting_for, "engine " in (job.waiting_because or "")) for job in read]

    assert told() == [(None, False), (None, False), ("engine", True)]
    beat(stand_in, engines=("removed",))
    assert told() == [(None, False), ("engine", True), (None, False)]
    stand_in.workers.remove("stand-in")
    assert told() == [(None, False), ("engine", True), ("engine", True)]
    beat(stand_in, engines=("repetition", "removed"), fault=FAULT)
    assert told() == [(None, False), ("storage", False), ("storage", False)]
    beat(stand_in, engines=("repetition", "removed"))
    assert told() == [(None, False)] * 3
    assert stand_in.store.cancel(jobs[1]).waiting_for is None


def test_messages_of_workers_that_wait_are_not_taken_for_lost(stand_in: StandIn) -> None:
    job = stand_in.store.submit(REQUEST)
    stand_in.queue.dispatch()
    stand_in.store._redis.zadd("sq:published:repetition", {job.id: 1})
    beat(stand_in, fault=FAULT)
    assert stand_in.queue.rescue().republished == 0
    beat(stand_in)
    assert stand_in.queue.rescue().republished == 1


def test_a_result_that_waits_for_the_storage_says_so(stand_in: StandIn, begin: Callable[[], Job]) -> None:
    job = begin()
    held = Claim(job, job.fence)
    beat(stand_in, fault=FAULT)
    stand_in.store.claims.renew(held, stage="separate", progress=0.5)
    assert stand_in.store.read_job(job.id).waiting_because is None
    stand_in.store.claims.renew(held, stage="upload", progress=0.95)
    assert stand_in.store.read_job(job.id).waiting_because == FAULT
    assert stand_in.store.read_job(job.id).waiting_because == FAULT, "also to whoever knows this version"
    beat(stand_in)
    assert stand_in.store.read_job(job.id).waiting_because is None
