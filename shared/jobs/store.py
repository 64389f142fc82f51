"""Creates, reads, changes and deletes jobs' records in Redis.

Each change is one Lua script, so it is atomic and checks the state and the fence in the step that writes.
shared/queue/dispatcher.py decides the order of jobs.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis
import structlog

from shared.errors import (
    IllegalTransitionError,
    JobNotFoundError,
    QueueDrainingError,
    RecordTooNewError,
    SourceMissingError,
)
from shared.fifo_cache import FifoCache
from shared.jobs.length_estimate import guessed_length, kind_of
from shared.jobs.limits import Admission
from shared.jobs.model import STAGES, TERMINAL, TRANSITIONS, Job, JobRequest, JobState, Output
from shared.redis_client.connection import connect, guarded
from shared.redis_client.pagination import ids_after
from shared.redis_client.scripts import Scripts
from shared.settings import Settings
from shared.stored_records import check_schema

log = structlog.get_logger(__name__)

CACHED_JOBS = 512
"""Jobs that a process caches, at about 10 kB each. Raise it if clients follow more jobs at once."""

MOST_WAIT_SECONDS = 300.0
"""The longest pause before a job is tried again whose mixture the storage refuses. Raising it delays such jobs once the
storage works again; lowering it makes workers try more often in vain."""

CANCELABLE = frozenset(state for state, following in TRANSITIONS.items() if JobState.CANCELED in following)

RETRYABLE = frozenset(state for state in TERMINAL if JobState.QUEUED in TRANSITIONS[state])

Course = Sequence[tuple[float, float]]
"""Pairs of (progress shown, share of the job's time that was used by then), in their order."""


@dataclass(frozen=True)
class Claim:
    """A job that a worker has claimed. The fence grows with each claim; a write with an older fence is refused."""

    job: Job
    fence: int


@dataclass(frozen=True)
class Deletion:
    """The job's record has been deleted; its stored objects have not."""

    job_id: str
    source_key: str | None


class JobStore:
    """The jobs' records. Every method may raise StoreUnavailableError; those that return a job, RecordTooNewError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._known = FifoCache[str, Job](CACHED_JOBS)
        self._retention_ms = int(settings.retention_days * 86_400_000)
        self._admission = Admission(settings, self._redis)
        self._alive_ms = int(settings.worker_alive_seconds * 1000)
        self._lease_ms = int(settings.lease_seconds * 1000)
        self._wait_seconds = settings.retry_base_seconds

    def ping(self) -> None:
        """Raise StoreUnavailableError unless Redis answers."""
        guarded(self._redis.ping)

    def demand_memory(self) -> None:
        """Raise StoreFullError if Redis is too full for new records."""
        self._admission.demand_memory()

    # Clients

    def submit(self, request: JobRequest, *, job_id: str | None = None, batch_id: str | None = None) -> Job:
        """Accept a job and queue it. If a job with this id was accepted before, return that job.

        With `batch_id`, the job belongs to the item of that batch which the job's id names.

        Raises QueueFullError, StoreFullError, QueueDrainingError, QuotaExceededError; SourceMissingError if its
        upload was deleted in the meantime; IllegalTransitionError if the batch's item does not wait for a job.
        """
        job_id = job_id or new_id()
        extension, guessed_ms = guessed_length(request)
        excerpt_seconds = request.excerpt_duration_seconds
        answer, *record = self._scripts.run(
            "jobs/submit",
            job_id=job_id,
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
            **self._admission.job_limits(),
        )
        self._admission.demand(answer, *record)
        if answer == "draining":
            raise QueueDrainingError(
                f"The queue of the engine {request.engine} accepts no new jobs for now. Try again later."
            )
        if answer == "upload_gone":
            raise SourceMissingError("The upload no longer exists. Upload the file again.")
        if answer == "not_waiting":
            raise IllegalTransitionError("The item already has a job, or it was canceled.")
        return _job(job_id, record[0])

    def read(self, job_id: str) -> Job:
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

    def read_many(self, job_ids: Iterable[str]) -> list[Job]:
        """Return the jobs that still exist, in the given order, with reports and without queue positions."""
        ids = list(job_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(f"{self._prefix}job:{job_id}")
        records = cast("list[Mapping[str, str]]", guarded(pipeline.execute))
        return [Job.from_record(i, r) for i, r in zip(ids, records, strict=True) if r]

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued or running job. Raises JobNotFoundError, IllegalTransitionError."""
        before, record = self._scripts.run(
            "jobs/cancel", job_id=job_id, retention_ms=self._retention_ms, alive_ms=self._alive_ms
        )
        self._check_state(before, CANCELABLE, "canceled")
        return _job(job_id, record)

    def retry(self, job_id: str) -> Job:
        """Queue an ended job again.

        Raises JobNotFoundError, IllegalTransitionError, QueueFullError, QuotaExceededError.
        """
        before, record = self._scripts.run(
            "jobs/retry", job_id=job_id, alive_ms=self._alive_ms, **self._admission.job_limits()
        )
        self._admission.demand(before, record)
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
            owner=request["owner"],
            engine=request["engine"],
            priority=request["priority"],
            request=json.dumps(request),
            state=document["state"],
            created_ms=int(document["created_at"] * 1000),
            finished_ms=int(document["finished_at"] * 1000),
            retention_ms=self._retention_ms,
            outputs=json.dumps(document["outputs"]),
            probed=_json_or_none(document["probed"]),
            report=_json_or_none(document["report"]),
            error_json=_json_or_none(document["error"]),
            fence=document["fence"],
            attempt=document["attempt"],
            started_ms=int((document["started_at"] or 0) * 1000),
            attempt_errors="\n".join(json.dumps(e, separators=(",", ":")) for e in document["attempt_errors"]),
            cached=document.get("cached", False),
        )
        return bool(answer == "restored")

    # Workers

    def claim(self, job_id: str, worker: str, token: str | None = None) -> Claim | None:
        """Claim the job, or return None if it cannot be claimed: it ended, or another worker has it.

        A caller that got no answer asks again with the same token, and gets the claim that the first call may have
        made. A job of a newer version is left to the workers of that version: its message is published again.
        """
        schema = guarded(lambda: self._redis.hget(f"{self._prefix}job:{job_id}", "schema"))
        try:
            check_schema({"schema": schema}, f"the record of job {job_id}")
        except RecordTooNewError as error:
            log.warning("job left to newer workers", job=job_id, error=error.message)
            return None
        fence = self._scripts.run(
            "attempts/claim", job_id=job_id, worker_id=worker, lease_ms=self._lease_ms, token=token
        )
        return Claim(self.read(job_id), int(fence)) if fence else None

    def beat(self, claim: Claim, *, stage: str, progress: float, probed: Mapping[str, Any] | None = None) -> bool:
        """Renew the lease and record the progress; False if the claim is no longer held."""
        if stage not in STAGES:
            raise ValueError(f"The stage {stage!r} is unknown.")
        return bool(
            self._scripts.run(
                "attempts/renew_lease",
                job_id=claim.job.id,
                fence=claim.fence,
                lease_ms=self._lease_ms,
                stage=stage,
                progress=progress,
                probed=_json_or_none(probed),
            )
        )

    def succeed(
        self,
        claim: Claim,
        *,
        outputs: Sequence[Output],
        probed: Mapping[str, Any],
        report: Mapping[str, Any],
        busy_seconds: float = 0.0,
        course: Course = (),
        audio_seconds: float = 0.0,
        contents: Sequence[str] = (),
        cached: bool = False,
    ) -> bool:
        """Commit the result; False if the claim is no longer held, and then nothing is written.

        `busy_seconds` (how long the job held a slot) and `course` improve the estimates of waiting times;
        `audio_seconds` counts against the owner's daily quota. `contents` are the keys of the result in the result
        cache. `cached`: an earlier job made the result, so neither time counts.
        """
        listed = json.dumps([asdict(o) for o in outputs], separators=(",", ":"))
        return bool(
            self._scripts.run(
                "attempts/succeed",
                job_id=claim.job.id,
                fence=claim.fence,
                outputs=listed,
                probed=json.dumps(probed),
                report=json.dumps(report),
                retention_ms=self._retention_ms,
                took_ms=int(busy_seconds * 1000),
                charged_audio_ms=0 if cached else int(audio_seconds * 1000),
                content=" ".join(contents),
                cached=cached,
                course=" ".join(f"{progress:.4f} {share:.4f}" for progress, share in course),
            )
        )

    def fail(self, claim: Claim, error: Mapping[str, Any], *, retry_in_seconds: float | None) -> bool:
        """End the attempt with an error. The job fails (None) or is queued again after the pause.

        Returns False if the claim is no longer held.
        """
        retry_ms = -1 if retry_in_seconds is None else int(retry_in_seconds * 1000)
        text = json.dumps(error, separators=(",", ":"))
        return bool(
            self._scripts.run(
                "attempts/fail",
                job_id=claim.job.id,
                fence=claim.fence,
                error_json=text,
                code=error["code"],
                retry_ms=retry_ms,
                retention_ms=self._retention_ms,
            )
        )

    def is_better_elsewhere(self, claim: Claim) -> bool:
        """Return whether a job that waits for a slot of its worker would start sooner on another worker."""
        return bool(
            self._scripts.run(
                "attempts/better_elsewhere", job_id=claim.job.id, fence=claim.fence, alive_ms=self._alive_ms
            )
        )

    def hand_back(self, claim: Claim, *, reason: str | None = None) -> bool:
        """Return the job to its place in the queue without charging an attempt.

        `reason`: why the storage does not serve this job. The job then waits before its next attempt, longer each
        time, and shows the reason.
        """
        # Jitter: jobs that failed together should not return together.
        pause_ms = int(1000 * self._wait_seconds * random.uniform(0.5, 1.5))  # noqa: S311
        return bool(
            self._scripts.run(
                "attempts/hand_back",
                job_id=claim.job.id,
                fence=claim.fence,
                reason=reason,
                pause_ms=pause_ms,
                max_pause_ms=int(1000 * MOST_WAIT_SECONDS),
            )
        )

    @staticmethod
    def _check_state(before: str, allowed: AbstractSet[JobState], done: str) -> None:
        if not before:
            raise JobNotFoundError("There is no such job.")
        if before == "batch":
            raise IllegalTransitionError(f"This job belongs to a batch: it can only be {done} with its batch.")
        if before not in allowed:
            raise IllegalTransitionError(f"A job that is {before} cannot be {done}.")


def _json_or_none(value: object) -> str | None:
    return json.dumps(value) if value else None


def _job(job_id: str, answer: str) -> Job:
    """Read a script's answer: a line with the values that change without the record, then the record."""
    line, _, record = answer.partition("\n")
    return _with_queue_state(Job.from_record(job_id, json.loads(record)), line)


def _with_queue_state(job: Job, line: str) -> Job:
    """Return the job with the values of the line: queue position, time left, and why it waits."""
    position, left_ms, why = line.split(" ", 2)
    if line == "  ":
        return job
    return job.with_queue_state(
        int(position) if position else None, int(left_ms) / 1000 if left_ms else None, why or None
    )


def new_id() -> str:
    """Return a random id for a job or an upload; it cannot be guessed."""
    return uuid.uuid4().hex
