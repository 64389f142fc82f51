"""A pool of warm child processes, one for each slot: decides which job gets the next one and when one is replaced.

More jobs than children may wait here: they have already fetched their songs, so that no child is idle meanwhile. What
a single child is and does is in process.py.
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
from worker.run_messages import threads_per_job

log = structlog.get_logger(__name__)


WAIT_SECONDS = 0.2
"""How often a job that waits for a child calls its `check`."""

INTERACTIVE_IN_A_ROW = 4
"""After this many interactive jobs in a row, one waiting bulk job gets a child. Raising it delays bulk jobs."""


@dataclass(eq=False)
class Ticket:
    """A job that waits for a child."""

    is_interactive: bool


class ChildPool:
    """As many children as the worker has slots. They start on first use, or all at once by `warm`.

    A child reads and writes a job's files in `jobs_folder` only.
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
        self._max_bulk = max(0, settings.worker_slots - settings.interactive_slots)
        self._bulk_lent = 0
        self._interactive_in_a_row = 0
        self._changed = threading.Condition()
        self._closed = False

    def warm(self) -> None:
        """Start all children, so that no job waits for imports. Call it from the main thread."""
        for _ in range(self._settings.worker_slots):
            self._idle.append(self._start())

    @contextmanager
    def lend(self, priority: str, check: Callable[[], None]) -> Iterator[ChildProcess]:
        """Lend a live child to a job of this priority; afterwards replace it if it is dead, used up or too large.

        Interactive jobs come first, but bulk jobs get at least every fifth child. Bulk jobs never get the slots that
        are reserved for interactive ones. `check` is called while the job waits, and may raise to stop waiting.
        """
        ticket = Ticket(is_interactive=priority == "interactive")
        self._wait_for_turn(ticket, check)
        child = None
        try:
            child = self._take()
            yield child
        finally:
            try:
                if child:
                    self._take_back(child)
            finally:
                # Also if no replacement could be started: the next job tries again.
                with self._changed:
                    self._free += 1
                    self._bulk_lent -= not ticket.is_interactive
                    self._changed.notify_all()

    def close(self) -> None:
        """End all children, lent ones too."""
        with self._changed:
            self._closed = True
            children = list(self._all)
        for child in children:
            child.end()

    def _wait_for_turn(self, ticket: Ticket, check: Callable[[], None]) -> None:
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._free == 0 or self._next_ticket() is not ticket:
                    self._changed.wait(WAIT_SECONDS)
                    check()
                self._free -= 1
                self._bulk_lent += not ticket.is_interactive
            finally:
                self._waiting.remove(ticket)
                bulk_waits = any(not t.is_interactive for t in self._waiting)
                passed_bulk = ticket.is_interactive and bulk_waits
                self._interactive_in_a_row = self._interactive_in_a_row + 1 if passed_bulk else 0
                self._changed.notify_all()

    def _next_ticket(self) -> Ticket | None:
        """Return the job that gets the next free child."""
        interactive = next((t for t in self._waiting if t.is_interactive), None)
        bulk = next((t for t in self._waiting if not t.is_interactive), None)
        bulk_may_run = self._bulk_lent < self._max_bulk
        is_bulks_turn = interactive is None or self._interactive_in_a_row >= INTERACTIVE_IN_A_ROW
        return bulk if bulk and bulk_may_run and is_bulks_turn else interactive

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
