"""Times the stages of a run and reports their progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.run_messages import ReportProgress


class StageClock:
    """Times the stages, and passes on their progress, which never falls within a stage."""

    def __init__(self, report_progress: ReportProgress) -> None:
        self.seconds: dict[str, float] = {}
        self._report_progress = report_progress
        self._stage = ""
        self._highest = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens in this context, as the stage of this name."""
        self._stage, self._highest = name, 0.0
        started = time.perf_counter()
        self._report_progress(name, 0.0)
        yield
        self._report_progress(name, 1.0)
        self.seconds[name] = round(time.perf_counter() - started, 3)

    def report_fraction(self, fraction: float) -> None:
        """Report which fraction of the current stage is done."""
        self._highest = max(self._highest, min(1.0, fraction))
        self._report_progress(self._stage, self._highest)
