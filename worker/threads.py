"""How many threads one job may run: its share of the cores that this worker is allowed to use."""

from __future__ import annotations

import os

from shared.settings import Settings


def threads_per_job(settings: Settings) -> int:
    """Return the setting, or the usable cores divided by the slots."""
    if settings.threads_per_job is not None:
        return settings.threads_per_job
    return max(1, len(os.sched_getaffinity(0)) // settings.worker_slots)
