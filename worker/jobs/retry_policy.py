"""Decides whether a failed attempt is followed by another, and when.

An outage of storage or Redis fails no attempt: the job is handed back (supervisor.py), or waits (storage_watch.py).
"""

from __future__ import annotations

import random

from shared.errors import OutOfMemoryError, SeparationFailedError
from shared.jobs.model import Job
from shared.settings import Settings

WORKER_LOST = "worker_lost"
"""The error code of a loss. The rescuer counts losses separately (`Job.losses`), not as errors of an attempt."""


def retry_pause_seconds(job: Job, code: str, *, retryable: bool, settings: Settings) -> float | None:
    """Return how many seconds to wait before the next attempt, or None if the job has failed for good.

    Transient errors, such as a full scratch disk, are retried `max_retries` times. A job that breaks its child gets as
    many attempts as one that loses its workers, since it may be the cause.
    """
    failed_before = sum(1 for e in job.attempt_errors if e.get("code") != WORKER_LOST)
    breaks_child = code in {OutOfMemoryError.code, SeparationFailedError.code}
    allowed = settings.max_losses - 1 if breaks_child else settings.max_retries
    if not retryable or failed_before >= allowed:
        return None
    # Jitter: jobs that failed at the same time are not retried at the same time.
    return settings.retry_base_seconds * 2.0**failed_before * random.uniform(0.5, 1.5)  # noqa: S311
