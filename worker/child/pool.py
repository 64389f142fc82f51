"""The warm children of a worker: one for each slot, lent out and taken back, replaced when they have grown.

Owns how many there are, who gets the next one, and when one is replaced; owns nothing that runs in them
(process.py). More jobs than children may ask: they have fetched their songs meanwhile, so that no child waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from shared.counters import Counters
from shared.settings import Settings, split_names
from worker.child.process import JOBS, ChildProcess
from worker.child.sandbox import Prepared
from worker.threads import threads_per_job

log = structlog.get_logger(__name__)


WAIT_SECONDS = 0.2
"""How long a job waits for a child before it looks whether it still should."""

BULK_SHARE = 4
"""Urgent jobs that get a child in a row before one that waits and is not urgent; raising it makes bulk wait longer."""


@dataclass(eq=False)
class Ticket:
    """A job's place among those that wait for a child."""

    urgent: bool


class Children:
    """A pool as large as the worker has slots. Children start on first use, or all at once by `warm`.

    Whatever a job has its child read or write lies in `jobs_folder`.
    """

    def __init__(self, settings: Settings, scratch_folder: Path, counters: Counters) -> None:
        self._scratch_folder = scratch_folder
        self.jobs_folder = scratch_folder / JOBS
        self._counters = counters
        self._settings = settings
        self._idle: list[ChildProcess] = []
        self._all: set[ChildProcess] = set()
        self._free = settings.worker_slots
        self._waiting: list[Ticket] = []
        self._for_bulk = max(0, settings.worker_slots - settings.interactive_slots)
        self._bulk_lent = 0
        self._urgent_in_a_row = 0
        self._changed = threading.Condition()
        self._closed = False

    def warm(self) -> None:
        """Start a child for each slot, so that no job waits for imports. Call it from the main thread."""
        for _ in range(self._settings.worker_slots):
            self._idle.append(self._start())

    @contextmanager
    def lend(self, *, urgent: bool, check: Callable[[], None]) -> Iterator[ChildProcess]:
        """Lend a child that lives, to urgent jobs first; what comes back dead, worn out or swollen is replaced.

        Jobs that are not urgent get every fifth child at least, and never the slots that are kept from them. `check` is
        called while the job waits, and may raise to give up.
        """
        self._wait_for_turn(urgent=urgent, check=check)
        child = None
        try:
            child = self._take()
            yield child
        finally:
            try:
                if child:
                    self._take_back(child)
            finally:
                # Also where no other could be started: the next job tries again.
                with self._changed:
                    self._free += 1
                    self._bulk_lent -= not urgent
                    self._changed.notify_all()

    def close(self) -> None:
        """End all children, lent ones too."""
        with self._changed:
            self._closed = True
            children = list(self._all)
        for child in children:
            child.end()

    def _wait_for_turn(self, *, urgent: bool, check: Callable[[], None]) -> None:
        ticket = Ticket(urgent=urgent)
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._free == 0 or self._next() is not ticket:
                    self._changed.wait(WAIT_SECONDS)
                    check()
                self._free -= 1
                self._bulk_lent += not urgent
            finally:
                self._waiting.remove(ticket)
                others_wait = any(not t.urgent for t in self._waiting)
                self._urgent_in_a_row = self._urgent_in_a_row + 1 if urgent and others_wait else 0
                self._changed.notify_all()

    def _next(self) -> Ticket | None:
        urgent = next((t for t in self._waiting if t.urgent), None)
        patient = next((t for t in self._waiting if not t.urgent), None) if self._bulk_lent < self._for_bulk else None
        if patient and (urgent is None or self._urgent_in_a_row >= BULK_SHARE):
            return patient
        return urgent

    def _take(self) -> ChildProcess:
        with self._changed:
            child = self._idle.pop() if self._idle else None
        if child is None:
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
            return
        kept = self._replace(child, reason) if reason else child
        with self._changed:
            self._idle.append(kept)

    def _replace(self, child: ChildProcess, reason: str) -> ChildProcess:
        self._counters.add("child_restarts_total", reason=reason)
        log.info("child replaced", pid=child.pid, reason=reason, jobs=child.jobs_done)
        self._end(child)
        return self._start()

    def _start(self) -> ChildProcess:
        settings = self._settings
        child = ChildProcess(
            threads=threads_per_job(settings),
            scratch_folder=self._scratch_folder,
            model_folder=settings.model_folder,
            extra_engines=split_names(settings.extra_engines),
            ffmpeg_path=settings.ffmpeg_path,
            prepared=Prepared.beside(settings.model_folder),
        )
        with self._changed:
            self._all.add(child)
            closed = self._closed
        if closed:
            child.end()
        return child

    def _end(self, child: ChildProcess) -> None:
        child.end()
        with self._changed:
            self._all.discard(child)
