"""The limits of a run: the memory of its child, read now and then, and the time that its song may take."""

from __future__ import annotations

import time

from shared.errors import OutOfMemoryError, SeparationTimeoutError
from shared.jobs.request import JobRequest
from shared.settings import Settings
from worker.child.process import ChildProcess
from worker.run_messages import threads_per_job

MEMORY_PAUSE_SECONDS = 0.5
"""How often the child's memory is read. Two readings in a row must exceed the limit, since memory counts twice for an
instant when a child starts a program; so a child can exceed its limit for twice as long."""

MEASURED_THREADS = 2
"""With how many threads the speed of engines is measured at set-up."""

SPEED_MARGIN = 2.0
"""How many times faster than measured at set-up an engine may turn out to be."""


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


def refuse_if_too_slow(
    request: JobRequest, settings: Settings, seconds: float, *, real_time_factor: float | None
) -> None:
    """Raise SeparationTimeoutError if the engine cannot separate a track of so many seconds within the time limit.

    `real_time_factor` is that of the engine with `MEASURED_THREADS` threads; nothing is refused without one.
    """
    if not real_time_factor:
        return
    audio_seconds = max(0.0, seconds - (request.excerpt_start_seconds or 0.0))
    if request.excerpt_duration_seconds is not None:
        audio_seconds = min(audio_seconds, request.excerpt_duration_seconds)
    # At best all threads share the work evenly, and the speed may have been measured on a busy machine.
    speed = real_time_factor * SPEED_MARGIN * threads_per_job(settings) / MEASURED_THREADS
    needed = audio_seconds / speed
    limit = settings.job_seconds_base + settings.job_seconds_per_audio_second * seconds
    if needed > limit:
        raise SeparationTimeoutError(
            f"The engine {request.engine} would need at least {needed / 60:.0f} min for this track "
            f"here, and the time limit is {limit / 60:.0f} min. Choose a faster engine or a shorter excerpt."
        )
