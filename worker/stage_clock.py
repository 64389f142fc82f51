"""What a run takes: the seconds of each stage, how far it is, and this process's memory at its highest."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.work import ReportProgress


class StageClock:
    """Times the stages and passes their progress on, which never falls within one."""

    def __init__(self, report_progress: ReportProgress) -> None:
        self.seconds: dict[str, float] = {}
        self._report_progress = report_progress
        self._stage = ""
        self._highest = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens within."""
        self._stage, self._highest = name, 0.0
        started = time.perf_counter()
        self._report_progress(name, 0.0)
        yield
        self._report_progress(name, 1.0)
        self.seconds[name] = round(time.perf_counter() - started, 3)

    def progress(self, fraction: float) -> None:
        """Tell how far the stage is that runs now."""
        self._highest = max(self._highest, min(1.0, fraction))
        self._report_progress(self._stage, self._highest)


def reset_peak_memory() -> None:
    """Have the kernel forget this process's highest memory, so that a warm process tells that of each job."""
    # Without this right (a hardened container) the report tells the highest since the process began.
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """Return the highest resident memory since `reset_peak_memory`, without the processes that this one started."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    highest = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    if highest is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(highest[1]) * 1024
