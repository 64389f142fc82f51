"""Reads what the scripts count: jobs by state, failed attempts by code, how long jobs take, and webhooks that wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import redis

from shared.redis_client.connection import connect, guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

MAX_WEBHOOK_QUEUES = 2000
"""How many queues of webhooks are counted, one for each owner and host. Raising it blocks Redis for longer."""


@dataclass(frozen=True)
class PendingWebhooks:
    """The webhook messages that are not delivered yet."""

    due: int
    scheduled: int
    """Messages that wait for a retry, or are being delivered at the moment."""
    oldest_due_seconds: float
    """How long the oldest message that is due has been due; 0 if none is due."""


class QueueStatistics:
    """Figures of all jobs. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)

    def typical_job(self, engine: str, form: str) -> tuple[float | None, int | None]:
        """Return how many seconds a recent job of an engine held a slot, and how many bytes its outputs took.

        `form` is the output format. None stands for what is not known yet.
        """
        names = [f"{self._prefix}pace:{engine}", f"{self._prefix}made:{engine}:{form}"]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.mget(names)
        pipeline.hmget(f"{self._prefix}work:{engine}", ["n", "y", "drift"])
        (pace_ms, made), (jobs, work_ms, drift) = guarded(pipeline.execute)
        # A plain average would long be distorted by a first job that had to load its model
        # (lua/lib/estimates/work_statistics.lua).
        seconds = float(drift or 1) * float(work_ms) / float(jobs) / 1000 if jobs else int(pace_ms or 0) / 1000
        return round(seconds, 3) or None, int(made) if made else None

    def jobs_by_state(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        raw = cast("dict[str, str]", guarded(lambda: self._redis.hgetall(f"{self._prefix}count")))
        return {state: int(n) for state, n in raw.items()}

    def failures_by_code(self) -> dict[str, int]:
        """Return the number of final failures by code; `retried:<code>` counts the attempts that were retried."""
        raw = cast("dict[str, str]", guarded(lambda: self._redis.hgetall(f"{self._prefix}failures")))
        return {code: int(n) for code, n in raw.items()}

    def pending_webhooks(self) -> PendingWebhooks:
        """Return how many webhook messages are not delivered yet, and how long the oldest is due."""
        due, scheduled, oldest_ms = self._scripts.run("webhooks/pending", max_queues=MAX_WEBHOOK_QUEUES)
        now_ms = guarded(self._redis.time)[0] * 1000
        return PendingWebhooks(
            int(due), int(scheduled), max(0.0, (now_ms - int(oldest_ms)) / 1000) if oldest_ms else 0.0
        )
