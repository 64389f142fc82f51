"""Makes the run of a model repeatable: hypothesis compares runs that begin alike, and fails if they differ.

Ids count up instead of being random, since equal times are sorted by ids; no two steps fall into one millisecond of
Redis's clock; and nothing runs out on a machine that is busy.
"""

from __future__ import annotations

import itertools
from typing import Any

import redis
from hypothesis import HealthCheck
from hypothesis import settings as run_settings

from shared.settings import Settings


class Silent:
    """STAND-IN for Celery's producer: it sends no message, since messages are only hints."""

    def send_task(self, *_: Any, **__: Any) -> None:
        """Drop the message."""


class Ids:
    """Ids of the real length, in ascending order; none contains another."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """Return another id."""
        return f"f{next(self._numbers):023x}{1:08x}"


def patient_settings(redis_url: str, *, max_losses: int) -> Settings:
    """Return settings with which nothing depends on the time."""
    return Settings(
        redis_url=redis_url,
        redis_prefix="model:",
        redis_timeout_seconds=60,
        lease_seconds=86_400,
        unclaimed_seconds=86_400,
        worker_alive_seconds=86_400,
        max_losses=max_losses,
    )


def await_next_millisecond(client: redis.Redis) -> None:
    """Return once Redis's clock shows another millisecond."""
    seconds, microseconds = client.time()  # type: ignore[misc]
    while client.time() < (seconds, microseconds - microseconds % 1000 + 1000):  # type: ignore[operator]
        pass


def runs(max_examples: int) -> run_settings:
    """Return how often a model is run. No run is saved, since its result also depends on the servers' time."""
    return run_settings(
        max_examples=max_examples,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
