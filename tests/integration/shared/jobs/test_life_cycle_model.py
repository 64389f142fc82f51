"""The Lua scripts against a model: in whatever order things happen, the record, the queues and the counters agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.errors import IllegalTransitionError, JobNotFoundError
from shared.jobs.claims import Claim
from shared.jobs.model import TERMINAL, TRANSITIONS, JobState, Output
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.redis_client.connection import connect
from tests.integration.shared.repeatable import Ids, Silent, await_next_millisecond, patient_settings, runs

SLOTS, KEPT_SLOTS = 3, 1
ENGINE = "model"
STEM = Output("vocals", "stem", "jobs/x/1/vocals.flac", "vocals.flac", "audio/flac", 7, "")


class LifeCycle(RuleBasedStateMachine):
    """Does what clients, workers and the rescuer do, in any order, and keeps its own account of what must result."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.settings = patient_settings(self.redis_url, max_losses=3)
        self.ids = Ids()
        self.redis = connect(self.settings)
        self.redis.flushdb()
        self.store = JobStore(self.settings, self.redis)
        self.queue = JobQueue(self.settings, self.redis, producer=Silent())  # type: ignore[arg-type]
        self.statistics = QueueStatistics(self.settings, self.redis)
        WorkerRegistry(self.settings, self.redis).heartbeat(Worker("w", SLOTS, (ENGINE,), (), KEPT_SLOTS))
        self.states: dict[str, JobState] = {}
        self.owners: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self.losses: Counter[str] = Counter()
        self.fences: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.progress: dict[str, float] = {}
        self.succeeded_by: dict[str, int] = {}
        self.failed_by: dict[str, int] = {}
        self.handed_back: dict[str, int] = {}

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    @rule(target=jobs, owner=st.sampled_from("ab"), priority=st.sampled_from(["interactive", "bulk"]))
    def submit(self, owner: str, priority: str) -> str:
        source = Source("uploads/x", "x.wav", 1)
        request = JobRequest(source=source, engine=ENGINE, owner=owner, priority=priority)
        job = self.store.submit(request, job_id=self.ids.next())
        self.states[job.id] = JobState.QUEUED
        self.owners[job.id] = owner
        self.classes[job.id] = priority
        return job.id

    @rule()
    def dispatch(self) -> None:
        self.queue.dispatch()

    @rule(target=claims, job=jobs)
    def claim(self, job: str) -> Any:
        published = self.redis.zscore(f"model:published:{ENGINE}", job) is not None
        claim = self.store.claims.take(job, "w")
        assert (claim is not None) == (published and self.states.get(job) is JobState.QUEUED)
        if claim is None:
            return multiple()
        assert claim.fence > max(self.fences.values(), default=0), "fences only grow"
        self._move(job, JobState.RUNNING)
        self.fences[job] = claim.fence
        return claim

    @rule(claim=claims, progress=st.floats(0, 1))
    def beat(self, claim: Claim, progress: float) -> None:
        held = self.store.claims.renew(claim, stage="separate", progress=progress)
        assert held == self._holds(claim)

    @rule(claim=claims)
    def succeed(self, claim: Claim) -> None:
        if self.succeeded_by.get(claim.job.id) == claim.fence and claim.job.id in self.states:
            assert self.store.claims.succeed(claim, outputs=[STEM], probed={}, report={}), "said twice it is still true"
        elif self.store.claims.succeed(claim, outputs=[STEM], probed={}, report={}):
            assert self._holds(claim)
            assert claim.job.id not in self.succeeded_by, "committed twice"
            self.succeeded_by[claim.job.id] = claim.fence
            self._move(claim.job.id, JobState.SUCCEEDED)
        else:
            assert not self._holds(claim)

    @rule(claim=claims, again=st.booleans())
    def fail(self, claim: Claim, again: bool) -> None:
        error = {"code": "storage_unavailable", "message": "away"}
        if self.failed_by.get(claim.job.id) == claim.fence and self.states.get(claim.job.id) is JobState.FAILED:
            assert self.store.claims.fail(claim, error, retry_in_seconds=None), "said twice it is still true"
        elif self.store.claims.fail(claim, error, retry_in_seconds=0.0 if again else None):
            assert self._holds(claim)
            self.failed_by[claim.job.id] = claim.fence
            self._move(claim.job.id, JobState.QUEUED if again else JobState.FAILED)
        else:
            assert not self._holds(claim)

    @rule(claim=claims, reason=st.sampled_from([None, "The storage refuses (SlowDown)."]))
    def hand_back(self, claim: Claim, reason: str | None) -> None:
        job = claim.job.id
        before = self.store.read_job(job).attempt if job in self.states else None
        if self.handed_back.get(job) == claim.fence and job in self.states:
            assert self.store.claims.hand_back(claim, reason=reason), "said twice it is still true"
            assert self.store.read_job(job).attempt == before
        elif self.store.claims.hand_back(claim, reason=reason):
            assert self._holds(claim)
            assert self.store.read_job(job).attempt == (before or 0) - 1, "no attempt is charged"
            self.handed_back[job] = claim.fence
            self._move(job, JobState.QUEUED)
        else:
            assert not self._holds(claim)

    @rule(job=jobs)
    def message_comes_to_a_worker_that_waits(self, job: str) -> None:
        published = self.redis.zscore(f"model:published:{ENGINE}", job) is not None
        assert self.queue.put_back(job) == (published and self.states.get(job) is JobState.QUEUED)

    @rule(job=jobs)
    def lease_runs_out(self, job: str) -> None:
        if self.states.get(job) is not JobState.RUNNING:
            return
        self.redis.zadd("model:running", {job: 1})
        self.queue.rescue()
        self.losses[job] += 1
        lost_for_good = self.losses[job] >= self.settings.max_losses
        self._move(job, JobState.FAILED if lost_for_good else JobState.QUEUED)

    @rule()
    def rescue_finds_what_is_due(self) -> None:
        self.queue.rescue()
        assert self.redis.zcount("model:delayed", "-inf", self.redis.time()[0] * 1000 - 1000) == 0

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        before = self.states.get(job)
        if before in {JobState.QUEUED, JobState.RUNNING}:
            assert self.store.cancel(job).state is JobState.CANCELED
            self._move(job, JobState.CANCELED)
        else:
            with pytest.raises(IllegalTransitionError if before else JobNotFoundError):
                self.store.cancel(job)

    @rule(job=jobs)
    def retry(self, job: str) -> None:
        before = self.states.get(job)
        if before in {JobState.FAILED, JobState.CANCELED}:
            assert self.store.retry(job).state is JobState.QUEUED
            self._move(job, JobState.QUEUED)
            self.losses[job] = 0
            self.progress[job] = 0.0
        else:
            with pytest.raises(IllegalTransitionError if before else JobNotFoundError):
                self.store.retry(job)

    @rule(job=jobs)
    def delete(self, job: str) -> None:
        before = self.states.get(job)
        if before in TERMINAL:
            self.store.deletion_done(self.store.delete(job))
            for book in (self.states, self.versions, self.progress):
                book.pop(job, None)  # type: ignore[attr-defined]
        else:
            with pytest.raises(IllegalTransitionError if before else JobNotFoundError):
                self.store.delete(job)

    @precondition(lambda self: self.states)
    @rule()
    def pause_and_resume(self) -> None:
        self.queue.pause(ENGINE)
        assert self.queue.dispatch() == 0
        assert self.redis.zcard(f"model:published:{ENGINE}") == 0
        self.queue.resume(ENGINE)

    @invariant()
    def time_goes_on(self) -> None:
        await_next_millisecond(self.redis)

    @invariant()
    def records_agree_with_the_model(self) -> None:
        for job_id, state in self.states.items():
            job = self.store.read_job(job_id)
            unknown = JobStore(self.settings, self.redis).read_job(job_id)
            assert replace(job, eta_seconds=None) == replace(unknown, eta_seconds=None), "what is remembered is true"
            assert job.state is state
            assert job.version >= self.versions.get(job_id, 0)
            assert job.progress >= self.progress.get(job_id, 0.0), "progress never falls"
            self.versions[job_id], self.progress[job_id] = job.version, job.progress

    @invariant()
    def each_job_stands_in_exactly_one_place(self) -> None:
        places: Counter[str] = Counter()
        for name in self.redis.scan_iter("model:line:*"):
            places.update(self.redis.zrange(name, 0, -1))
        places.update(self.redis.zrange(f"model:published:{ENGINE}", 0, -1))
        places.update(self.redis.zrange("model:delayed", 0, -1))
        queued = [i for i, s in self.states.items() if s is JobState.QUEUED]
        assert places == Counter(queued)
        running = {i for i, s in self.states.items() if s is JobState.RUNNING}
        assert set(self.redis.zrange("model:running", 0, -1)) == running
        ended = {i for i, s in self.states.items() if s in TERMINAL}
        assert set(self.redis.zrange("model:settled", 0, -1)) == ended

    @invariant()
    def what_owners_have_agrees_with_their_jobs(self) -> None:
        queued = Counter({"a": 0, "b": 0})
        queued.update(self.owners[i] for i, s in self.states.items() if s is JobState.QUEUED)
        stored = Counter({"a": 0, "b": 0})
        for job_id, state in self.states.items():
            stored[self.owners[job_id]] += STEM.size_bytes * (state is JobState.SUCCEEDED)
        for owner in "ab":
            usage = self.redis.hgetall(f"model:usage:{owner}")
            assert int(usage.get("queued", 0)) == queued[owner]
            assert int(usage.get("bytes", 0)) == stored[owner]

    @invariant()
    def what_records_are_reckoned_to_take_is_the_sum(self) -> None:
        reckoned = Counter({"a": 0, "b": 0})
        for job_id in self.states:
            reckoned[self.owners[job_id]] += int(self.redis.hget(f"model:job:{job_id}", "record_bytes"))
        for owner in "ab":
            assert int(self.redis.hget(f"model:usage:{owner}", "records") or 0) == reckoned[owner]
        assert int(self.redis.get("model:records") or 0) == reckoned.total()

    @invariant()
    def counters_and_window_hold(self) -> None:
        counted = {s: n for s, n in self.statistics.jobs_by_state().items() if n}
        assert counted == dict(Counter(s.value for s in self.states.values()))
        published = set(self.redis.zrange(f"model:published:{ENGINE}", 0, -1))
        running = {i for i, s in self.states.items() if s is JobState.RUNNING}
        bulk = {i for i in published | running if self.classes[i] == "bulk"}
        assert len(published - bulk) <= 2 * SLOTS
        assert len(bulk) <= 2 * (SLOTS - KEPT_SLOTS)
        assert self.redis.smembers(f"model:bulk:{ENGINE}") == bulk

    def _holds(self, claim: Claim) -> bool:
        job = claim.job.id
        return self.states.get(job) is JobState.RUNNING and self.fences[job] == claim.fence

    def _move(self, job: str, state: JobState) -> None:
        assert state in TRANSITIONS[self.states[job]]
        self.states[job] = state


def test_any_order_of_events_keeps_records_lines_and_counters_in_agreement(valkey_url: str) -> None:
    LifeCycle.redis_url = valkey_url
    run_state_machine_as_test(LifeCycle, settings=runs(60))
