"""The warm children of a worker: one for each slot, lent out and taken back, replaced when they have grown.

Owns how many there are and when one is replaced; owns nothing that runs in them (child_process.py).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from shared.settings import Settings
from shared.tally import Tally
from worker.child_process import ChildProcess
from worker.threads import threads_per_job

log = structlog.get_logger(__name__)


class Children:
    """A pool as large as the worker has slots. Children start on first use, or all at once by `warm`."""

    def __init__(self, settings: Settings, tally: Tally) -> None:
        self._tally = tally
        self._settings = settings
        self._idle: queue.LifoQueue[ChildProcess] = queue.LifoQueue()
        self._all: set[ChildProcess] = set()
        self._lock = threading.Lock()
        self._closed = False

    def warm(self) -> None:
        """Start a child for each slot, so that no job waits for imports. Call it from the main thread."""
        for _ in range(self._settings.worker_slots):
            self._idle.put(self._start())

    @contextmanager
    def lend(self) -> Iterator[ChildProcess]:
        """Lend a child that lives; what comes back dead, worn out or swollen is replaced before its next use."""
        child = self._take()
        try:
            yield child
        finally:
            self._take_back(child)

    def close(self) -> None:
        """End all children, lent ones too."""
        with self._lock:
            self._closed = True
            children = list(self._all)
        for child in children:
            child.end()

    def _take(self) -> ChildProcess:
        try:
            child = self._idle.get_nowait()
        except queue.Empty:
            return self._start()
        return child if child.alive else self._replace(child, "died while idle")

    def _take_back(self, child: ChildProcess) -> None:
        reason = None
        if not child.alive:
            reason = "ended"
        elif child.jobs_done >= self._settings.child_jobs:
            reason = "served its number of jobs"
        elif child.memory_bytes() > self._settings.child_idle_bytes:
            reason = "kept too much memory"
        if self._closed:
            self._end(child)
        else:
            self._idle.put(self._replace(child, reason) if reason else child)

    def _replace(self, child: ChildProcess, reason: str) -> ChildProcess:
        self._tally.add("child_restarts_total", reason=reason)
        log.info("child replaced", pid=child.pid, reason=reason, jobs=child.jobs_done)
        self._end(child)
        return self._start()

    def _start(self) -> ChildProcess:
        self._settings.scratch_folder.mkdir(parents=True, exist_ok=True)
        child = ChildProcess(
            threads=threads_per_job(self._settings), scratch_folder=self._settings.scratch_folder.resolve()
        )
        with self._lock:
            self._all.add(child)
            closed = self._closed
        if closed:
            child.end()
        return child

    def _end(self, child: ChildProcess) -> None:
        child.end()
        with self._lock:
            self._all.discard(child)
