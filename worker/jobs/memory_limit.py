"""The memory limit of a running child: checked by reading its memory now and then."""

from __future__ import annotations

import time

from shared.errors import OutOfMemoryError
from worker.child.process import ChildProcess

MEMORY_PAUSE_SECONDS = 0.5
"""How often the child's memory is read. Two readings in a row must exceed the limit, since memory counts twice for an
instant when a child starts a program; so a child can exceed its limit for twice as long."""


class MemoryLimit:
    """Checks now and then that a child and all that it started hold no more than `max_bytes`."""

    def __init__(self, child: ChildProcess, max_bytes: int) -> None:
        self._child = child
        self._max_bytes = max_bytes
        self._next_reading_at = 0.0
        self._readings_over = 0

    def check_limit(self) -> None:
        """Raise OutOfMemoryError if two readings in a row exceeded the limit."""
        if time.monotonic() < self._next_reading_at:
            return
        self._next_reading_at = time.monotonic() + MEMORY_PAUSE_SECONDS
        self._readings_over = self._readings_over + 1 if self._child.memory_bytes() > self._max_bytes else 0
        if self._readings_over == 2:
            raise OutOfMemoryError("The separation exceeded the memory limit of a job.")
