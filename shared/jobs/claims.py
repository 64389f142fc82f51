"""Claims jobs for workers, and changes the records of claimed jobs: progress, result, failure, hand back.

A claim has a lease and a fence. Each change is one Lua script, which checks the fence in the step that writes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis
import structlog

from shared.errors import JobNotFoundError, RecordTooNewError
from shared.jobs.model import STAGES, Job, Output
from shared.parsing.stored_records import check_schema
from shared.redis_client.connection import guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

log = structlog.get_logger(__name__)

MAX_STORAGE_PAUSE_SECONDS = 300.0
"""The longest pause before a job is tried again whose mixture the storage refuses. Raising it delays such jobs once the
storage works again; lowering it makes workers try more often in vain."""

Course = Sequence[tuple[float, float]]
"""Pairs of (progress shown, share of the job's time that was used by then), in their order."""


@dataclass(frozen=True)
class Claim:
    """A job that a worker has claimed. The fence grows with each claim; a write with an older fence is refused.

    With the `token` for which it was made, the claim can be asked for again.
    """

    job: Job
    fence: int
    token: str | None = None


class JobClaims:
    """Changes records on behalf of workers. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._redis = client
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(client, settings.redis_prefix)
        self._retention_ms = settings.retention_ms
        self._alive_ms = settings.worker_alive_ms
        self._lease_ms = settings.lease_ms
        self._retry_base_seconds = settings.retry_base_seconds

    def take(self, job_id: str, worker: str, token: str | None = None) -> Claim | None:
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
        return Claim(self._read_job(job_id), int(fence), token) if fence else None

    def renew(self, claim: Claim, *, stage: str, progress: float, probed: Mapping[str, Any] | None = None) -> bool:
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
                probed=json_or_none(probed),
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
        cache_keys: Sequence[str] = (),
        cached: bool = False,
    ) -> bool:
        """Commit the result; False if the claim is no longer held, and then nothing is written.

        `busy_seconds` (how long the job held a slot) and `course` improve the estimates of waiting times;
        `audio_seconds` counts against the owner's daily quota. `cache_keys` are the keys of the result in the result
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
                content=" ".join(cache_keys),
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
        pause_ms = int(1000 * self._retry_base_seconds * random.uniform(0.5, 1.5))  # noqa: S311
        return bool(
            self._scripts.run(
                "attempts/hand_back",
                job_id=claim.job.id,
                fence=claim.fence,
                reason=reason,
                pause_ms=pause_ms,
                max_pause_ms=int(1000 * MAX_STORAGE_PAUSE_SECONDS),
            )
        )

    def _read_job(self, job_id: str) -> Job:
        record = cast("dict[str, str]", guarded(lambda: self._redis.hgetall(f"{self._prefix}job:{job_id}")))
        if not record:
            raise JobNotFoundError("There is no such job.")
        return Job.from_record(job_id, record)


def json_or_none(value: object) -> str | None:
    """Return the value as JSON, or None if it is empty."""
    return json.dumps(value) if value else None
