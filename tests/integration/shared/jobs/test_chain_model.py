"""Chains against a model, in whatever order their jobs are claimed, end, are canceled, retried and deleted.

No job waits for ever, none ends twice, and all counts return to zero.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from shared.errors import FieldsInvalidError, IllegalTransitionError, JobNotFoundError
from shared.jobs.claims import Claim
from shared.jobs.model import TERMINAL, Output
from shared.jobs.request import JobRequest, NextJob, Source
from shared.jobs.store import FollowingJob, JobStore
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.redis_client.connection import connect
from tests.integration.shared.jobs.chain_model import (
    CANCELED,
    FAILED,
    OPEN,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    ChainModel,
    Known,
)
from tests.integration.shared.repeatable import Ids, Silent, await_next_millisecond, patient_settings, runs

ENGINE = "model"
VOCALS = Output("vocals", "stem", "jobs/x/1/vocals.flac", "vocals.flac", "audio/flac", 7, "")

SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (0, 1), (0, 0), (0, 1, 2), (0, 1, 0, 1))
"""Which job each job after the first continues, where 0 is the first."""


class Chains(RuleBasedStateMachine):
    """Does what clients, workers and the rescuer do, and predicts the state of every job of every chain."""

    redis_url = ""
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.settings = patient_settings(self.redis_url, max_losses=2)
        self.ids = Ids()
        self.redis = connect(self.settings)
        self.redis.flushdb()
        self.store = JobStore(self.settings, self.redis)
        self.queue = JobQueue(self.settings, self.redis, producer=Silent())  # type: ignore[arg-type]
        self.statistics = QueueStatistics(self.settings, self.redis)
        WorkerRegistry(self.settings, self.redis).heartbeat(Worker("w", 4, (ENGINE,), (), 0))
        self.model = ChainModel()
        self.known = self.model.known

    @rule(target=jobs, shape=st.sampled_from(SHAPES))
    def submit(self, shape: tuple[int, ...]) -> Any:
        ids = [self.ids.next() for _ in range(1 + len(shape))]
        requests = [self._request(place, shape, ids) for place in range(len(ids))]
        followers = [FollowingJob(*job) for job in zip(ids[1:], requests[1:], strict=True)]
        self.store.submit(requests[0], job_id=ids[0], followers=followers)
        self.known[ids[0]] = Known(source=None)
        for job_id, before in zip(ids[1:], shape, strict=True):
            self.known[job_id] = Known(source=ids[before], waits=True, had_its_source=False)
        return multiple(*ids)

    @staticmethod
    def _request(place: int, shape: tuple[int, ...], ids: list[str]) -> JobRequest:
        source = Source("uploads/x", "x.wav", 1)
        if place:
            source = Source("", "x - vocals.flac", 0, job_id=ids[shape[place - 1]], output="vocals")
        then = tuple(NextJob(ids[n], "vocals") for n, before in enumerate(shape, 1) if before == place)
        return JobRequest(source=source, engine=ENGINE, owner="a", then=then)

    @rule(target=claims, job=jobs)
    def claim(self, job: str) -> Any:
        self.queue.dispatch()
        claim = self.store.claims.take(job, "w")
        known = self.known.get(job)
        if claim is None:
            return multiple()
        assert known, "a deleted job cannot be claimed"
        assert (known.state, known.waits) == (QUEUED, False), "what waits for its source cannot be claimed"
        if known.source:
            assert claim.job.request.source.key == VOCALS.key, "its source is there"
        known.state = RUNNING
        return claim

    @rule(claim=claims, makes_vocals=st.booleans())
    def succeed(self, claim: Claim, makes_vocals: bool) -> None:
        outputs = [VOCALS] if makes_vocals else []
        if self._fence(claim) and self.store.claims.succeed(claim, outputs=outputs, probed={}, report={}):
            self.known[claim.job.id].has_vocals = makes_vocals
            self.model.end(claim.job.id, SUCCEEDED)

    @rule(claim=claims, again=st.booleans())
    def fail(self, claim: Claim, again: bool) -> None:
        error = {"code": "not_audio", "message": "The file is no audio."}
        if self._fence(claim) and self.store.claims.fail(claim, error, retry_in_seconds=0.0 if again else None):
            if again:
                self.known[claim.job.id].state = QUEUED
                self.queue.rescue()
            else:
                self.model.end(claim.job.id, FAILED)

    @rule(claim=claims)
    def hand_back(self, claim: Claim) -> None:
        if self._fence(claim) and self.store.claims.hand_back(claim):
            self.known[claim.job.id].state = QUEUED

    @rule(job=jobs)
    def lease_runs_out(self, job: str) -> None:
        known = self.known.get(job)
        if not known or known.state is not RUNNING:
            return
        self.redis.zadd("model:running", {job: 1})
        self.queue.rescue()
        known.losses += 1
        if known.losses < self.settings.max_losses:
            known.state = QUEUED
        else:
            self.model.end(job, FAILED)

    @rule(job=jobs)
    def the_rescuer_looks_after_a_job(self, job: str) -> None:
        if self.redis.zscore("model:delayed", job) is not None:
            self.redis.zadd("model:delayed", {job: 1})
        self.queue.rescue()

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        if job not in self.known:
            self._expect(JobNotFoundError, self.store.cancel, job)
            return
        ended = list(self.model.canceled_with(job))
        if not ended:
            self._expect(IllegalTransitionError, self.store.cancel, job)
            return
        assert self.store.cancel(job).id == job
        for job_id in ended:
            self.model.end(job_id, CANCELED)
        rest = [job_id for job_id in self.model.all_after(job) if self.known[job_id].state in OPEN]
        assert not rest, "nothing after a canceled job goes on"

    @rule(job=jobs)
    def retry(self, job: str) -> None:
        refusal = self.model.refusal_of_retry(job)
        if refusal:
            self._expect(refusal, self.store.retry, job)
            return
        self.store.retry(job)
        self.model.begin_again(job)

    @rule(job=jobs)
    def retry_below_a_lowered_limit(self, job: str) -> None:
        revived = 1 + len(list(self.model.revived_with(job))) if job in self.known else 0
        if self.model.refusal_of_retry(job) or revived < 2:
            return
        lowered = self.settings.model_copy(update={"max_queued_jobs_per_owner": revived - 1})
        self._expect(FieldsInvalidError, JobStore(lowered, self.redis).retry, job)

    @rule(job=jobs)
    def delete_or_expire(self, job: str) -> None:
        if job not in self.known:
            self._expect(JobNotFoundError, self.store.delete, job)
        elif self.known[job].state in OPEN or any(self.known[i].state in OPEN for i in self.model.followers(job)):
            self._expect(IllegalTransitionError, self.store.delete, job)
        else:
            self.store.deletion_done(self.store.delete(job))
            del self.known[job]

    @invariant()
    def time_goes_on(self) -> None:
        await_next_millisecond(self.redis)

    @invariant()
    def each_job_is_as_predicted(self) -> None:
        jobs = {job.id: job for job in self.store.read_jobs(self.known)}
        assert jobs.keys() == self.known.keys()
        for job_id, known in self.known.items():
            job = jobs[job_id]
            assert job.state is known.state
            assert (job.waiting_for == "source") == (known.state is QUEUED and known.waits)
            if known.waits and known.state is QUEUED:
                source = self.known.get(known.source or "")
                assert source, "its source is not deleted"
                assert source.state in OPEN, "no job waits for one that has ended"
            if known.ended_with_source and known.state is FAILED:
                assert job.error
                assert (job.error["code"], job.error["source_job_id"]) == ("source_failed", known.source)

    @invariant()
    def each_job_that_waits_is_in_its_place(self) -> None:
        waiting = {job_id for job_id, known in self.known.items() if known.state is QUEUED and known.waits}
        members = self._members_of_sets()
        followers = {(job_id, i) for (job_id, kind), found in members.items() if kind == "followers" for i in found}
        assert followers == {(self.known[job_id].source, job_id) for job_id in waiting}
        assert set(self.redis.zrange("model:delayed", 0, -1)) == waiting
        lines = [i for name in self.redis.scan_iter("model:line:*") for i in self.redis.zrange(name, 0, -1)]
        lines += self.redis.zrange(f"model:published:{ENGINE}", 0, -1)
        assert sorted(lines) == sorted(i for i, k in self.known.items() if k.state is QUEUED and not k.waits)
        for (job_id, kind), found in members.items():
            if kind == "readers":
                assert found == {i for i in self.model.followers(job_id) if self.known[i].state in OPEN}

    def _members_of_sets(self) -> dict[tuple[str, str], set[str]]:
        """Return the members of `followers` and `readers` of each job that has such a set."""
        keys = sorted(self.redis.keys("model:job:*:*"))
        pipeline = self.redis.pipeline(transaction=False)
        for key in keys:
            pipeline.smembers(key)
        names = [(key.split(":")[2], key.split(":")[3]) for key in keys]
        return dict(zip(names, pipeline.execute(), strict=True))

    @invariant()
    def counts_agree(self) -> None:
        states = [known.state for known in self.known.values()]
        counted = {state: n for state, n in self.statistics.jobs_by_state().items() if n}
        assert counted == {state.value: states.count(state) for state in set(states)}
        assert int(self.redis.hget("model:usage:a", "queued") or 0) == states.count(QUEUED)

    def teardown(self) -> None:
        """Let all work end, and delete everything: nothing of any job is left."""
        for job_id in self.redis.zrange("model:running", 0, -1):
            self.store.cancel(job_id)
        while True:
            self.queue.dispatch()
            published = self.redis.zrange(f"model:published:{ENGINE}", 0, -1)
            if not published:
                break
            for job_id in published:
                claim = self.store.claims.take(job_id, "w")
                assert claim
                assert self.store.claims.succeed(claim, outputs=[VOCALS], probed={}, report={})
        assert not [job for job in self.store.read_jobs(self.known) if job.state not in TERMINAL], (
            "nothing waits for ever"
        )
        for job_id in self.known:
            self.store.deletion_done(self.store.delete(job_id))
        assert not self.redis.keys("model:job:*")
        assert not any(self.statistics.jobs_by_state().values())
        for what in ("queued", "bytes", "records"):
            assert int(self.redis.hget("model:usage:a", what) or 0) == 0

    def _fence(self, claim: Claim) -> bool:
        """Return whether the claim holds; if not, make sure that it cannot end the job."""
        known = self.known.get(claim.job.id)
        holds = bool(
            known
            and known.state is RUNNING
            and self.redis.hget(f"model:job:{claim.job.id}", "fence") == str(claim.fence)
        )
        assert self.store.claims.renew(claim, stage="separate", progress=0.5) == holds
        return holds

    @staticmethod
    def _expect(error: type[Exception], call: Any, job: str) -> None:
        try:
            call(job)
        except error:
            return
        raise AssertionError(f"{call.__name__} should have raised {error.__name__}")


def test_jobs_of_chains_end_once_and_wait_for_nothing_that_has_ended(valkey_url: str) -> None:
    Chains.redis_url = valkey_url
    run_state_machine_as_test(Chains, settings=runs(20))
