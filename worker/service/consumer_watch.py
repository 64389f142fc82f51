"""Notices when the Celery consumer of this worker has died or hangs.

Celery runs the consumer in the main thread; the worker heartbeat has a thread of its own. So without this watch, a
worker that receives no more messages would count as alive forever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps

MAX_SILENT_SECONDS = 45.0
"""How long the consumer may show no sign of life while Redis answers. Its event loop turns every 10 s at least, and
after an outage Celery tries to reconnect every 30 s at least: lowering it below that restarts healthy workers."""

LONGEST_STEP_SECONDS = 5.0
"""The most silence that one check can add. A process that was suspended has not been silent: nothing in it ran."""


class ConsumerWatch:
    """Counts the seconds since the consumer's last sign of life.

    Celery's main thread calls `sign_of_life`; the queue thread calls the other methods.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._signs = 0
        self._signs_seen = 0
        self._silent_seconds = 0.0
        self._checked_at = clock()

    def sign_of_life(self) -> None:
        """Record that the consumer has started or its event loop has turned."""
        self._signs += 1

    def is_dead(self) -> bool:
        """Return whether the consumer was silent for too long. Call it about once a second while Redis answers."""
        now = self._clock()
        step, self._checked_at = min(now - self._checked_at, LONGEST_STEP_SECONDS), now
        if self._signs != self._signs_seen:
            self._signs_seen, self._silent_seconds = self._signs, 0.0
        else:
            self._silent_seconds += step
        return self._silent_seconds >= MAX_SILENT_SECONDS

    def redis_is_away(self) -> None:
        """Restart the count: Celery reconnects by itself once Redis is back."""
        self._silent_seconds, self._checked_at = 0.0, self._clock()


def consumer_step(sign_of_life: Callable[[], None]) -> type[bootsteps.StartStopStep]:
    """Return a step for `app.steps["consumer"]` that reports each start of the consumer and each turn of its loop."""

    class SignOfLife(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer:Connection",)

        def start(self, consumer: Any) -> None:
            sign_of_life()
            # A set: the same function is not added twice when the consumer starts again.
            consumer.hub.on_tick.add(sign_of_life)

    return SignOfLife
