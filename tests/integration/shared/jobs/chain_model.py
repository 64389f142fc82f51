"""What must become of the jobs of chains, as told by a model without Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import IllegalTransitionError, JobNotFoundError, SourceMissingError
from shared.jobs.model import JobState

QUEUED, RUNNING, SUCCEEDED = JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED
FAILED, CANCELED = JobState.FAILED, JobState.CANCELED
OPEN = {QUEUED, RUNNING}


@dataclass
class Known:
    """What the model knows of a job."""

    source: str | None
    state: JobState = QUEUED
    waits: bool = False
    had_its_source: bool = True
    ended_with_source: bool = False
    has_vocals: bool = False
    losses: int = 0
    ends: int = 0


class ChainModel:
    """The jobs of all chains."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def end(self, job: str, state: JobState) -> None:
        """End a job, and those that wait for it unless they can go on."""
        known = self.known[job]
        assert known.state in OPEN, "no job ends twice"
        known.state = state
        for follower in self.followers(job):
            below = self.known[follower]
            if below.state is not QUEUED or not below.waits:
                continue
            below.waits = False
            if state is SUCCEEDED and known.has_vocals:
                below.had_its_source = True
                continue
            below.waits = True
            below.ended_with_source = True
            self.end(follower, CANCELED if state is CANCELED else FAILED)

    def followers(self, job: str) -> list[str]:
        """Return the jobs that continue a job."""
        return [job_id for job_id, known in self.known.items() if known.source == job]

    def all_after(self, job: str) -> Iterator[str]:
        """Yield the jobs that continue a job, directly or not."""
        for follower in self.followers(job):
            yield follower
            yield from self.all_after(follower)

    def canceled_with(self, job: str) -> Iterator[str]:
        """Yield the jobs that a cancel ends by themselves; those that wait for them end with them."""
        if self.known[job].state in OPEN:
            yield job
            return
        for follower in self.followers(job):
            yield from self.canceled_with(follower)

    def revived_with(self, job: str) -> Iterator[str]:
        """Yield the jobs that a retry of a job runs again, because they ended with it."""
        for follower in self.followers(job):
            known = self.known[follower]
            if known.ended_with_source and known.state in {FAILED, CANCELED}:
                yield follower
                yield from self.revived_with(follower)

    def refusal_of_retry(self, job: str) -> type[Exception] | None:
        """Return the error that a retry of a job raises, or None."""
        known = self.known.get(job)
        if not known:
            return JobNotFoundError
        if known.state not in {FAILED, CANCELED}:
            return IllegalTransitionError
        return self._problem_of_source(known)

    def _problem_of_source(self, known: Known) -> type[Exception] | None:
        source = self.known.get(known.source or "")
        if not source:
            return SourceMissingError if known.source else None
        if known.had_its_source or source.state in OPEN:
            return None
        if source.state in {FAILED, CANCELED}:
            return IllegalTransitionError
        return None if source.has_vocals else SourceMissingError

    def begin_again(self, job: str) -> None:
        """Queue a job again, and those that ended with it."""
        for follower in list(self.revived_with(job)):
            self._queue_again(follower, waits=True)
        known = self.known[job]
        source = self.known.get(known.source or "")
        waits = not known.had_its_source and source is not None and source.state in OPEN
        self._queue_again(job, waits=waits)
        known.had_its_source = not waits

    def _queue_again(self, job: str, *, waits: bool) -> None:
        known = self.known[job]
        known.state, known.waits, known.losses, known.ended_with_source = QUEUED, waits, 0, False
