"""Knows whether the storage serves this worker, and tries it out until it does.

A call to the storage that failed is told here. If a small object can be stored and read at that moment, the failure
was that one call's. If not, the storage is away: until it is back, the worker claims nothing, and results are kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from shared.errors import StorageUnavailableError
from shared.storage.object_storage import ObjectStorage

log = structlog.get_logger(__name__)

T = TypeVar("T")

JOBS_IN_A_ROW = 3
"""Jobs that the storage does not serve, and none that it does between them, until the worker pauses, even where a small
object can be stored and read: such a storage is half broken. One job that fails again and again is its own matter.
Raising it has workers claim more jobs that such a storage does not serve."""

LONGEST_PAUSE_SECONDS = 20.0
"""How long a half-broken storage is left alone at most. Raising it delays work when the storage is whole again."""

LONGEST_PROBE_PAUSE_SECONDS = 3.0
"""How often a storage that is away is tried out at least, and so how soon it is noticed that it is back."""

LOOK_SECONDS = 0.2
"""How often whoever waits for the storage looks whether it still should."""

LONGEST_RETRY_PAUSE_SECONDS = 60.0
"""The longest pause before a result is stored again that the storage did not take, while it took a small object."""


class StorageWatch:
    """One for each worker process; `run` is a thread of its own, any thread may call the rest."""

    def __init__(self, storage: ObjectStorage, stopping: threading.Event, on_change: Callable[[], None]) -> None:
        self._storage = storage
        self._stopping = stopping
        self._on_change = on_change
        self._changed = threading.Condition()
        self._fault: str | None = None
        self._failed_jobs: set[str] = set()

    @property
    def fault(self) -> str | None:
        """What is wrong with the storage; None while it serves."""
        return self._fault

    def failed(self, error: StorageUnavailableError, job_id: str | None = None) -> bool:
        """Note that a call failed; return whether the storage as a whole is away.

        `job_id`: the job that was not served by the bucket of uploads and outputs, which all jobs need.
        """
        with self._changed:
            self._failed_jobs |= {job_id} if job_id else set()
            if self._fault:
                return True
        found = self._try_out()
        with self._changed:
            if found or (job_id and len(self._failed_jobs) >= JOBS_IN_A_ROW):
                self._set(found or error.message)
        return found is not None

    def worked(self) -> None:
        """Note that the storage has served a job."""
        with self._changed:
            self._failed_jobs.clear()

    def wait(self, check: Callable[[], None] = lambda: None) -> None:
        """Return once the storage serves, or the worker stops; `check` is called meanwhile and may raise to give up."""
        while self._fault and not self._stopping.is_set():
            with self._changed:
                self._changed.wait(LOOK_SECONDS)
            check()

    def insist(self, call: Callable[[], T], check: Callable[[], None]) -> T:
        """Make a call until the storage takes it, however long that takes; `check` may raise to give up."""
        pause = 1.0
        while True:
            try:
                result = call()
            except StorageUnavailableError as error:
                log.warning("the storage does not take a result, which is kept", error=error.message)
                is_away = self.failed(error)
                self.wait(check)
                check()
                if not is_away:
                    _sleep(pause, check)
                    pause = min(2 * pause, LONGEST_RETRY_PAUSE_SECONDS)
            else:
                self.worked()
                return result

    def run(self) -> None:
        """Try the storage out while it is away, until the worker stops."""
        while not self._stopping.is_set():
            with self._changed:
                if not self._fault:
                    self._changed.wait(1.0)
                    continue
            pause = min(LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(len(self._failed_jobs), 10))
            while not self._stopping.wait(pause):
                fault = self._try_out()
                with self._changed:
                    self._set(fault)
                if fault is None:
                    break
                pause = min(2 * pause, LONGEST_PROBE_PAUSE_SECONDS)

    def _set(self, fault: str | None) -> None:
        """Change what is known; call it with the condition held."""
        if bool(fault) != bool(self._fault):
            if fault:
                log.warning("the storage does not serve: nothing is claimed until it does", error=fault)
            else:
                log.info("the storage serves again")
            self._fault = fault
            self._changed.notify_all()
            self._on_change()
        self._fault = fault

    def _try_out(self) -> str | None:
        try:
            self._storage.try_out()
        except StorageUnavailableError as error:
            return error.message
        return None


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(LOOK_SECONDS, left))
        check()
