"""Checks within two seconds whether Redis answers and has room, storage keeps an object, and a worker is alive.

At most one thread at a time checks each dependency, however many requests ask.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import structlog

from shared.errors import StemqueueError, StorageUnavailableError, StoreUnavailableError
from shared.jobs.store import JobStore
from shared.queue.worker_registry import WorkerRegistry
from shared.storage.object_storage import ObjectStorage

log = structlog.get_logger(__name__)

CHECK_SECONDS = 1.5
"""The deadline of all checks together; the response is promised within 2 s."""

TRIAL_SECONDS = 60.0
"""How long a successful trial of the storage counts. Each trial stores an object, which some providers charge for."""

FAILED_TRIAL_SECONDS = 5.0
"""How long a failed trial counts, so that recovery is seen soon."""


class Readiness:
    """The checks of Redis, storage and workers."""

    def __init__(self, store: JobStore, workers: WorkerRegistry, storage: ObjectStorage) -> None:
        self._checks: Mapping[str, Callable[[], None]] = {
            "redis": lambda: _check_redis(store),
            "storage": StorageCheck(storage).check,
            "workers": lambda: _check_workers(workers),
        }
        self._pool = ThreadPoolExecutor(max_workers=len(self._checks), thread_name_prefix="readiness")
        self._running: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def faults(self) -> dict[str, str]:
        """Return the error of each unavailable dependency by its name; empty if all are available."""
        deadline = time.monotonic() + CHECK_SECONDS
        found = {}
        for name, future in {name: self._start_check(name) for name in self._checks}.items():
            try:
                future.result(max(0.0, deadline - time.monotonic()))
            except FutureTimeoutError:
                found[name] = "No response in time."
            except StemqueueError as error:
                found[name] = error.message
        return found

    def _start_check(self, name: str) -> Future[None]:
        with self._lock:
            running = self._running.get(name)
            if running is None or running.done():
                running = self._running[name] = self._pool.submit(self._checks[name])
            return running


class StorageCheck:
    """Asks the storage for the bucket at each check, and from time to time stores, reads and deletes a small object.

    Only the first check waits for that trial. Later ones take the result of the last trial while the next one runs, so
    that a storage far away is not reported as slow.
    """

    def __init__(self, storage: ObjectStorage, now: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._now = now
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage-trial")
        self._trial: Future[str | None] | None = None
        self._next_trial_at = now()
        self._is_tried = False
        self._fault: str | None = None

    def check(self) -> None:
        """Raise StorageUnavailableError if the bucket does not answer or the last trial failed.

        Not for several threads at once.
        """
        self._storage.ping()
        if self._trial is None and self._now() >= self._next_trial_at:
            self._trial = self._pool.submit(self._try_out)
        if self._trial and (self._trial.done() or not self._is_tried):
            self._fault = self._trial.result()
            self._trial, self._is_tried = None, True
            self._next_trial_at = self._now() + (FAILED_TRIAL_SECONDS if self._fault else TRIAL_SECONDS)
        if self._fault:
            raise StorageUnavailableError(self._fault)

    def _try_out(self) -> str | None:
        """Return the storage's error, or None."""
        try:
            self._storage.try_out()
        except StorageUnavailableError as error:
            return error.message
        except Exception:
            # An error that nobody expected must not stay for ever as the result of this trial.
            log.exception("the trial of the storage failed")
            return "The trial of the storage failed unexpectedly; the API's log has the error."
        return None


def _check_redis(store: JobStore) -> None:
    store.ping()
    store.require_free_memory()


def _check_workers(registry: WorkerRegistry) -> None:
    workers = registry.live_workers()
    if not workers:
        raise StoreUnavailableError("No worker is running.")
    if all(worker.fault for worker in workers):
        raise StoreUnavailableError(f"All workers are waiting for the storage: {workers[0].fault}")
