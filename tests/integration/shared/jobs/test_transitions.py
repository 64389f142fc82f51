"""The Lua scripts make exactly the transitions of the table: each action is tried on a job in each state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.errors import IllegalTransitionError
from shared.jobs.claims import Claim
from shared.jobs.model import TRANSITIONS, JobState
from shared.jobs.request import JobRequest, Source
from shared.queue.chains import Link, chain_of
from shared.queue.worker_registry import Worker
from tests.fixtures.api import ENGINE, StandIn

REQUEST = JobRequest(source=Source("uploads/x", "x.wav", 1), engine="repetition")
ERROR = {"code": "out_of_memory", "message": "The child used too much memory."}


def let_the_lease_expire(stand_in: StandIn, claim: Claim) -> None:
    stand_in.store._redis.zadd("sq:running", {claim.job.id: 1}, xx=True)
    stand_in.queue.rescue()


def publish_and_claim(stand_in: StandIn, claim: Claim) -> None:
    stand_in.queue.dispatch()
    stand_in.store.claims.take(claim.job.id, "another")


ACTIONS: Mapping[str, Callable[[StandIn, Claim], object]] = {
    "claim": publish_and_claim,
    "succeed": lambda s, c: s.store.claims.succeed(c, outputs=[], probed={}, report={}),
    "fail": lambda s, c: s.store.claims.fail(c, ERROR, retry_in_seconds=None),
    "fail and retry": lambda s, c: s.store.claims.fail(c, ERROR, retry_in_seconds=0.0),
    "hand back": lambda s, c: s.store.claims.hand_back(c),
    "cancel": lambda s, c: s.store.cancel(c.job.id),
    "retry": lambda s, c: s.store.retry(c.job.id),
    "lease expires": let_the_lease_expire,
}

WAYS_TO: Mapping[JobState, str | None] = {
    JobState.RUNNING: None,
    JobState.QUEUED: "hand back",
    JobState.SUCCEEDED: "succeed",
    JobState.FAILED: "fail",
    JobState.CANCELED: "cancel",
}


def job_in(stand_in: StandIn, state: JobState) -> Claim:
    """Return a job in this state, and its last claim."""
    job = stand_in.store.submit(REQUEST)
    stand_in.queue.dispatch()
    claim = stand_in.claim(job.id)
    if (way := WAYS_TO[state]) is not None:
        ACTIONS[way](stand_in, claim)
    assert stand_in.store.read_job(job.id).state is state
    return claim


def state_after_a_failed_source(stand_in: StandIn) -> JobState:
    """Return the state of a job whose source job has failed while it waited."""
    request, followers = chain_of(REQUEST, [Link(0, "vocals", {"engine": "repetition"})], ["1" * 32, "2" * 32])
    stand_in.store.submit(request, job_id="1" * 32, followers=followers)
    stand_in.queue.dispatch()
    stand_in.fail("1" * 32)
    return stand_in.store.read_job("2" * 32).state


def test_the_scripts_make_exactly_the_transitions_of_the_table(stand_in: StandIn) -> None:
    # Room for all jobs of this test at a time.
    stand_in.workers.heartbeat(Worker("stand-in", 100, ("repetition",), (ENGINE,)))
    seen: dict[JobState, set[JobState]] = {state: set() for state in JobState}
    for state in JobState:
        for action in ACTIONS.values():
            claim = job_in(stand_in, state)
            try:
                action(stand_in, claim)
            except IllegalTransitionError:
                assert stand_in.store.read_job(claim.job.id).state is state
            after = stand_in.store.read_job(claim.job.id).state
            if after is not state:
                seen[state].add(after)
    seen[JobState.QUEUED].add(state_after_a_failed_source(stand_in))
    assert seen == {state: set(following) for state, following in TRANSITIONS.items()}
