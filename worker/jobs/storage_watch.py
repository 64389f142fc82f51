"""Knows whether the storage is available to this worker, and probes it during an outage.

Failed calls to the storage are reported here. A probe then stores and reads a small object. If it works, the failure
concerned that one call. If not, the storage is unavailable: until it is back, the worker claims no jobs and keeps its
results.
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
"""After storage errors of this many different jobs in a row, the worker pauses although the probe works: the storage is
partly broken. A single job that fails again and again does not count. Raising it makes workers claim more jobs that
such a storage does not serve."""

LONGEST_PAUSE_SECONDS = 20.0
"""The longest pause for a partly broken storage. Raising it delays jobs once the storage is in order again."""

LONGEST_PROBE_PAUSE_SECONDS = 3.0
"""The longest pause between two probes of an unavailable storage. Raising it delays jobs after an outage."""

CHECK_SECONDS = 0.2
"""How often a thread that waits for the storage calls its `check`."""

LONGEST_RETRY_PAUSE_SECONDS = 60.0
"""The longest pause between two tries to store a result while the probe works."""


class StorageWatch:
    """One for each worker process. `run_probes` occupies a thread of its own; any thread may call the other methods."""

    def __init__(self, storage: ObjectStorage, stopping: threading.Event, on_change: Callable[[], None]) -> None:
        self._storage = storage
        self._stopping = stopping
        self._on_change = on_change
        self._changed = threading.Condition()
        self._fault: str | None = None
        self._failed_jobs: set[str] = set()

    @property
    def fault(self) -> str | None:
        """What is wrong with the storage; None while it is available."""
        return self._fault

    def report_failure(self, error: StorageUnavailableError, job_id: str | None = None) -> bool:
        """Record that a call failed; return whether the storage as a whole is unavailable.

        `job_id`: the job that was not served, if it needed the bucket of uploads and outputs, which all jobs need.
        """
        with self._changed:
            self._failed_jobs |= {job_id} if job_id else set()
            if self._fault:
                return True
        found = self._probe()
        with self._changed:
            if found or (job_id and len(self._failed_jobs) >= JOBS_IN_A_ROW):
                self._set_fault(found or error.message)
        return found is not None

    def report_success(self) -> None:
        """Record that the storage has served a job."""
        with self._changed:
            self._failed_jobs.clear()

    def wait_until_available(self, check: Callable[[], None] = lambda: None) -> None:
        """Return once the storage is available or the worker stops; `check` is called meanwhile and may raise."""
        while self._fault and not self._stopping.is_set():
            with self._changed:
                self._changed.wait(CHECK_SECONDS)
            check()

    def repeat_until_served(self, call: Callable[[], T], check: Callable[[], None]) -> T:
        """Repeat a call until the storage takes it, however long that takes; `check` may raise to stop."""
        pause = 1.0
        while True:
            try:
                result = call()
            except StorageUnavailableError as error:
                log.warning("storage unavailable: a result is kept until it can be stored", error=error.message)
                is_away = self.report_failure(error)
                self.wait_until_available(check)
                check()
                if not is_away:
                    _sleep(pause, check)
                    pause = min(2 * pause, LONGEST_RETRY_PAUSE_SECONDS)
            else:
                self.report_success()
                return result

    def run_probes(self) -> None:
        """Probe the storage during outages, until the worker stops."""
        while not self._stopping.is_set():
            with self._changed:
                if not self._fault:
                    self._changed.wait(1.0)
                    continue
            pause = min(LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(len(self._failed_jobs), 10))
            while not self._stopping.wait(pause):
                fault = self._probe()
                with self._changed:
                    self._set_fault(fault)
                if fault is None:
                    break
                pause = min(2 * pause, LONGEST_PROBE_PAUSE_SECONDS)

    def _set_fault(self, fault: str | None) -> None:
        """Record a change and wake the threads that wait; call it with the condition held."""
        if bool(fault) != bool(self._fault):
            if fault:
                log.warning("storage unavailable: no jobs are claimed until it is back", error=fault)
            else:
                log.info("storage available again")
            self._fault = fault
            self._changed.notify_all()
            self._on_change()
        self._fault = fault

    def _probe(self) -> str | None:
        try:
            self._storage.try_out()
        except StorageUnavailableError as error:
            return error.message
        return None


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(CHECK_SECONDS, left))
        check()
