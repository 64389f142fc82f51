"""Whether the API could take a job now, and if not, what is away. Answers within two seconds, whatever hangs.

Owns the probes' time; each dependency is asked by at most one thread at a time, however many ask here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

from shared.errors import StemqueueError, StoreUnavailableError
from shared.jobs.store import JobStore
from shared.queue.worker_registry import WorkerRegistry
from shared.storage.object_storage import ObjectStorage

PATIENCE_SECONDS = 1.5
"""How long all probes together may take; the answer is promised within 2 s."""


class Readiness:
    """The probes of Redis, storage and workers."""

    def __init__(self, store: JobStore, workers: WorkerRegistry, storage: ObjectStorage) -> None:
        self._probes: Mapping[str, Callable[[], None]] = {
            "redis": lambda: _demand_redis(store),
            "storage": storage.ping,
            "workers": lambda: _demand_workers(workers),
        }
        self._pool = ThreadPoolExecutor(max_workers=len(self._probes), thread_name_prefix="readiness")
        self._under_way: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def faults(self) -> dict[str, str]:
        """Return what is away and how it shows, by name; empty when all is well."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        found = {}
        for name, future in {name: self._ask(name) for name in self._probes}.items():
            try:
                future.result(max(0.0, deadline - time.monotonic()))
            except FutureTimeoutError:
                found[name] = "It does not answer."
            except StemqueueError as error:
                found[name] = error.message
        return found

    def _ask(self, name: str) -> Future[None]:
        with self._lock:
            running = self._under_way.get(name)
            if running is None or running.done():
                running = self._under_way[name] = self._pool.submit(self._probes[name])
            return running


def _demand_redis(store: JobStore) -> None:
    store.ping()
    store.demand_memory()


def _demand_workers(registry: WorkerRegistry) -> None:
    workers = registry.live_workers()
    if not workers:
        raise StoreUnavailableError("No worker is running.")
    if all(worker.fault for worker in workers):
        raise StoreUnavailableError(f"All workers wait for the storage: {workers[0].fault}")
