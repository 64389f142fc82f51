"""Decides whether an attempt that failed is followed by another, and when.

Storage and Redis that are away make no attempt fail: supervisor.py gives the job back, and storage_watch.py waits.
"""

from __future__ import annotations

import random

from shared.errors import OutOfMemoryError, SeparationFailedError
from shared.jobs.model import Job
from shared.settings import Settings

WORKER_LOST = "worker_lost"
"""Losses are counted apart (`Job.losses`): they are the rescuer's matter, not an error of an attempt."""


def retry_pause_seconds(job: Job, code: str, *, retryable: bool, settings: Settings) -> float | None:
    """Return how long to wait before the next attempt, or None if the job has failed for good.

    Passing errors (a full scratch disk) get `max_retries`; a job that breaks its child gets as many attempts as one
    that loses its workers, since it may be the cause.
    """
    failed_before = sum(1 for e in job.attempt_errors if e.get("code") != WORKER_LOST)
    breaks_child = code in {OutOfMemoryError.code, SeparationFailedError.code}
    allowed = settings.max_losses - 1 if breaks_child else settings.max_retries
    if not retryable or failed_before >= allowed:
        return None
    # Jitter, so that jobs which failed together do not come back together.
    return settings.retry_base_seconds * 2.0**failed_before * random.uniform(0.5, 1.5)  # noqa: S311
