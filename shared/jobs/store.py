"""Creates, reads, changes and deletes jobs' records in Redis.

Each change is one Lua script, so it is atomic and checks the state in the step that writes. claims.py changes the
records of running jobs; shared/queue/dispatcher.py decides the order of jobs.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, cast

import redis

from shared.errors import (
    IllegalTransitionError,
    JobNotFoundError,
    QueueDrainingError,
    SourceMissingError,
)
from shared.fifo_cache import FifoCache
from shared.jobs.claims import JobClaims, json_or_none
from shared.jobs.length_estimate import guessed_length, kind_of
from shared.jobs.limits import Admission
from shared.jobs.model import TERMINAL, TRANSITIONS, Job, JobState
from shared.jobs.request import JobRequest
from shared.parsing.stored_records import schema_of
from shared.redis_client.connection import connect, guarded
from shared.redis_client.pagination import ids_after
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

CACHED_JOBS = 512
"""Jobs that a process caches, at about 10 kB each. Raise it if clients follow more jobs at once."""

CANCELABLE = frozenset(state for state, following in TRANSITIONS.items() if JobState.CANCELED in following)

RETRYABLE = frozenset(state for state in TERMINAL if JobState.QUEUED in TRANSITIONS[state])


@dataclass(frozen=True)
class Deletion:
    """The job's record has been deleted; its stored objects have not."""

    job_id: str
    source_key: str | None


@dataclass(frozen=True)
class FollowingJob:
    """A job that is submitted with the one whose output it waits for."""

    job_id: str
    request: JobRequest

    def to_json(self) -> str:
        """Return the job as jobs/submit.lua expects it."""
        request = self.request
        members = {"id": self.job_id, "schema": str(request.schema), "engine": request.engine}
        return json.dumps({**members, "kind": kind_of(request), "request": request.to_json()})


class JobStore:
    """The jobs' records. `claims` changes the records of running jobs.

    Every method may raise StoreUnavailableError; those that return a job, RecordTooNewError.
    """

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._known = FifoCache[str, Job](CACHED_JOBS)
        self._retention_ms = settings.retention_ms
        self._admission = Admission(settings, self._redis)
        self._alive_ms = settings.worker_alive_ms
        self.claims = JobClaims(settings, self._redis)

    def ping(self) -> None:
        """Raise StoreUnavailableError unless Redis answers."""
        guarded(self._redis.ping)

    def require_free_memory(self) -> None:
        """Raise StoreFullError if Redis is too full for new records."""
        self._admission.require_free_memory()

    def submit(
        self,
        request: JobRequest,
        *,
        job_id: str | None = None,
        batch_id: str | None = None,
        awaits: str | None = None,
        followers: Sequence[FollowingJob] = (),
    ) -> Job:
        """Accept a job and queue it. If a job with this id was accepted before, return that job.

        With `batch_id`, the job belongs to the item of that batch which the job's id names. `awaits` names the job that
        is still to make its source. `followers` continue the job, each listed after the one that it waits for; either
        all are accepted or none is.

        Raises QueueFullError, StoreFullError, QueueDrainingError, QuotaExceededError; FieldsInvalidError if the chain
        has more jobs than its owner may have queued; SourceMissingError if its upload, or the job whose outputs it
        reads, was deleted in the meantime; IllegalTransitionError if the batch's item does not wait for a job, or if
        the outputs are about to be replaced.
        """
        self._admission.require_possible_chain(1 + len(followers))
        job_id = job_id or new_id()
        extension, guessed_ms = guessed_length(request)
        excerpt_seconds = request.excerpt_duration_seconds
        answer, *record = self._scripts.run(
            "jobs/submit",
            job_id=job_id,
            schema=request.schema,
            request=request.to_json(),
            owner=request.owner,
            engine=request.engine,
            priority=request.priority,
            upload_id=request.source.upload_id,
            alive_ms=self._alive_ms,
            batch_id=batch_id,
            kind=kind_of(request),
            extension=extension,
            guessed_ms=guessed_ms,
            excerpt_ms=None if excerpt_seconds is None else int(1000 * excerpt_seconds),
            awaits=awaits,
            followers=[follower.to_json() for follower in followers],
            **self._admission.job_limits(),
        )
        self._admission.raise_if_refused(answer, *record)
        if answer == "draining":
            raise QueueDrainingError(
                f"The queue of the engine {request.engine} accepts no new jobs for now. Try again later."
            )
        if answer == "upload_gone":
            raise SourceMissingError("The upload no longer exists. Upload the file again.")
        _check_source(answer)
        if answer == "not_waiting":
            raise IllegalTransitionError("The item already has a job, or it was canceled.")
        return _job(job_id, record[0])

    def read_job(self, job_id: str) -> Job:
        """Return the job without its report, in one call to Redis. Raises JobNotFoundError.

        If this process has cached the record's present version, Redis does not send the record again.
        """
        known = self._known.get(job_id)
        answer = self._scripts.run(
            "jobs/read", job_id=job_id, alive_ms=self._alive_ms, known_version=known and known.version
        )
        if not answer:
            self._known.forget(job_id)
            raise JobNotFoundError("There is no such job.")
        line, _, record = answer.partition("\n")
        if record or known is None:
            known = Job.from_record(job_id, json.loads(record))
            self._known.put(job_id, known)
        return _with_queue_state(known, line)

    def list_ids(self, owner: str | None, *, limit: int, before: str | None = None) -> tuple[list[str], bool]:
        """Return ids newest first, after the cursor `before`, and whether there are more."""
        index = f"{self._prefix}jobs:{owner}" if owner else f"{self._prefix}jobs"
        found = ids_after(self._redis, index, before, limit)
        if found is None:
            raise JobNotFoundError("starting_after names a job that no longer exists.")
        return found

    def read_jobs(self, job_ids: Iterable[str]) -> list[Job]:
        """Return the jobs that still exist, in the given order, with reports and without queue positions."""
        ids = list(job_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(f"{self._prefix}job:{job_id}")
        records = cast("list[Mapping[str, str]]", guarded(pipeline.execute))
        return [Job.from_record(i, r) for i, r in zip(ids, records, strict=True) if r]

    def cancel(self, job_id: str) -> Job:
        """Cancel a job and those after it in its chain, as far as they have not ended.

        Raises JobNotFoundError, and IllegalTransitionError if all of them have ended.
        """
        before, record, n_canceled = self._scripts.run(
            "jobs/cancel", job_id=job_id, retention_ms=self._retention_ms, alive_ms=self._alive_ms
        )
        if not n_canceled:
            self._check_state(before, CANCELABLE, "canceled")
        return _job(job_id, record)

    def retry(self, job_id: str) -> Job:
        """Queue an ended job again.

        Raises JobNotFoundError, IllegalTransitionError, QueueFullError, QuotaExceededError, and SourceMissingError if
        the job whose outputs it reads was deleted, and FieldsInvalidError if it would run more jobs of its chain than
        its owner may have queued.
        """
        before, record = self._scripts.run(
            "jobs/retry", job_id=job_id, alive_ms=self._alive_ms, **self._admission.job_limits()
        )
        if before == "chain_too_large":
            self._admission.require_possible_chain(int(record))
        self._admission.raise_if_refused(before, record)
        _check_source(before)
        if before == "source_ended":
            raise IllegalTransitionError(f"It continues job {record}, which has not succeeded. Retry that job.")
        self._check_state(before, RETRYABLE, "retried")
        return _job(job_id, record)

    def delete(self, job_id: str) -> Deletion:
        """Delete an ended job's record. The caller deletes its objects and then calls `deletion_done`.

        Raises JobNotFoundError, IllegalTransitionError.
        """
        before, source_key = self._scripts.run("jobs/delete", job_id=job_id)
        self._check_state(before, TERMINAL, "deleted")
        return Deletion(job_id, source_key or None)

    def deletion_done(self, deletion: Deletion) -> None:
        """Record that all objects of a deleted job have been deleted."""
        tombstone = f"{deletion.job_id} {deletion.source_key or ''}"
        guarded(lambda: self._redis.zrem(f"{self._prefix}deleted", tombstone))

    def deletions_pending(self, limit: int = 100) -> list[Deletion]:
        """Return deletions whose objects may still exist."""
        tombstones = cast("list[str]", guarded(lambda: self._redis.zrange(f"{self._prefix}deleted", 0, limit - 1)))
        return [Deletion(t.partition(" ")[0], t.partition(" ")[2] or None) for t in tombstones]

    def expired_ids(self, limit: int) -> list[str]:
        """Return ended jobs that are past their retention."""
        now_ms = guarded(self._redis.time)[0] * 1000
        settled = f"{self._prefix}settled"
        return cast("list[str]", guarded(lambda: self._redis.zrangebyscore(settled, "-inf", now_ms, 0, limit)))

    def restore(self, document: Mapping[str, Any]) -> bool:
        """Restore an ended job's record from its document; False if there is a record already."""
        request = document["request"]
        answer = self._scripts.run(
            "jobs/restore",
            job_id=document["id"],
            schema=schema_of(request),
            owner=request["owner"],
            engine=request["engine"],
            priority=request["priority"],
            request=json.dumps(request),
            state=document["state"],
            created_ms=int(document["created_at"] * 1000),
            finished_ms=int(document["finished_at"] * 1000),
            retention_ms=self._retention_ms,
            outputs=json.dumps(document["outputs"]),
            probed=json_or_none(document["probed"]),
            report=json_or_none(document["report"]),
            error_json=json_or_none(document["error"]),
            fence=document["fence"],
            attempt=document["attempt"],
            started_ms=int((document["started_at"] or 0) * 1000),
            attempt_errors="\n".join(json.dumps(e, separators=(",", ":")) for e in document["attempt_errors"]),
            cached=document.get("cached", False),
        )
        return bool(answer == "restored")

    @staticmethod
    def _check_state(before: str, allowed: AbstractSet[JobState], done: str) -> None:
        if not before:
            raise JobNotFoundError("There is no such job.")
        if before == "batch":
            raise IllegalTransitionError(f"This job belongs to a batch: it can only be {done} with its batch.")
        if before == "read":
            raise IllegalTransitionError(f"Other jobs still read its outputs; it can be {done} when they have ended.")
        if before not in allowed:
            raise IllegalTransitionError(f"A job that is {before} cannot be {done}.")


def _check_source(answer: str) -> None:
    """Raise an error if a script has refused a job because of the job whose outputs it reads."""
    if answer == "source_gone":
        raise SourceMissingError("The job whose outputs this one reads no longer exists.")
    if answer == "source_changing":
        raise IllegalTransitionError(
            "The job whose outputs this one reads has just ended, or is being run again. Try again later."
        )


def _job(job_id: str, answer: str) -> Job:
    """Read a script's answer: a line with the values that change without the record, then the record."""
    line, _, record = answer.partition("\n")
    return _with_queue_state(Job.from_record(job_id, json.loads(record)), line)


def _with_queue_state(job: Job, line: str) -> Job:
    """Return the job with the values of the line: queue position, time left, what it waits for and why."""
    position, left_ms, hindrance = line.split(" ", 2)
    if line == "  " or job.waiting_for == "source":
        return job
    waiting_for, _, fault = hindrance.partition(" ")
    moved = job.with_queue_state(
        int(position) if position else None,
        int(left_ms) / 1000 if left_ms else None,
        "storage" if fault else None,
        fault or None,
    )
    return moved.waiting_for_engine() if waiting_for == "engine" else moved


def new_id() -> str:
    """Return a random id for a job or an upload; it cannot be guessed."""
    return uuid.uuid4().hex
