"""The background thread that keeps the queue moving: worker heartbeat, dispatch, rescue, and the consumer watch.

Every worker runs one. They need no coordination: each step is one atomic script, so no step is done twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from shared.counters import Counters
from shared.errors import StoreUnavailableError
from shared.jobs.claims import JobClaims
from shared.logs import Trouble
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.settings import Settings
from worker.jobs.storage_watch import StorageWatch
from worker.jobs.unreturned_claims import return_claims
from worker.service.consumer_watch import ConsumerWatch
from worker.service.engine_watch import EngineWatch
from worker.service.scratch_folder import ScratchFolder

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""How often jobs are dispatched. Raising it delays jobs that could not be published when they were submitted."""


class QueueThread:
    """One for each worker process; `wake` may be called from any thread."""

    def __init__(
        self,
        *,
        settings: Settings,
        worker: Worker,
        queue: JobQueue,
        claims: JobClaims,
        workers: WorkerRegistry,
        counters: Counters,
        scratch: ScratchFolder,
        engine_watch: EngineWatch,
        storage_watch: StorageWatch,
        consumer_watch: ConsumerWatch,
        stopping: threading.Event,
        on_dead_consumer: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._queue = queue
        self._claims = claims
        self._workers = workers
        self._counters = counters
        self._scratch = scratch
        self._engine_watch = engine_watch
        self._storage_watch = storage_watch
        self._consumer_watch = consumer_watch
        self._stopping = stopping
        self._on_dead_consumer = on_dead_consumer
        self._wake = threading.Event()
        self._heartbeat_at = 0.0
        self._rescue_at = 0.0
        self._redis_was_away = False
        # Leases that ran out during an outage may belong to live workers, so these get the time of a lease to renew
        # them. A worker that starts cannot know whether there has just been an outage.
        self._leases_at = time.monotonic() + min(settings.lease_seconds, 10.0)
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Start the next round at once."""
        self._wake.set()

    def _run(self) -> None:
        trouble = Trouble()
        while not self._stopping.is_set():
            try:
                self._run_round()
                trouble.clear()
                is_dead = self._consumer_watch.is_dead()
            except StoreUnavailableError as error:
                is_dead = False
                self._note_outage()
                if trouble.should_log():
                    log.warning("redis unavailable", error=error.message)
            except Exception:
                # Without this thread the worker would count as dead, and other workers would get its jobs.
                log.exception("queue thread failed")
                is_dead = self._consumer_watch.is_dead()
                self._rescue_at = time.monotonic() + self._settings.rescue_seconds
            if is_dead and not self._stopping.is_set():
                self._on_dead_consumer()
                return
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()

    def _run_round(self) -> None:
        now = time.monotonic()
        is_rescue_due = now >= self._rescue_at
        if is_rescue_due:
            # This comes first: a claim that was returned is no expired lease. It may take long.
            self._sweep_scratch()
        if now >= self._heartbeat_at or is_rescue_due or self._has_news():
            self._send_heartbeat()
            self._heartbeat_at = now + self._settings.worker_alive_seconds / 4
        if is_rescue_due:
            self._rescue(with_leases=now >= self._leases_at)
            self._rescue_at = now + self._settings.rescue_seconds
        self._queue.dispatch()
        self._counters.flush()

    def _has_news(self) -> bool:
        fault, descriptions = self._storage_watch.fault, self._engine_watch.descriptions
        return self._worker.fault != fault or self._worker.descriptions is not descriptions

    def _send_heartbeat(self) -> None:
        descriptions, disk = self._engine_watch.descriptions, self._scratch.disk_usage()
        self._worker = replace(
            self._worker,
            fault=self._storage_watch.fault,
            engines=tuple(d["name"] for d in descriptions),
            descriptions=descriptions,
            scratch_free_bytes=disk and disk[0],
            scratch_size_bytes=disk and disk[1],
        )
        self._redis_was_away |= self._queue.is_new_server()
        self._workers.heartbeat(self._worker, was_away=self._redis_was_away)
        self._redis_was_away = False

    def _note_outage(self) -> None:
        self._counters.add("faults_total", part="redis")
        self._consumer_watch.redis_is_away()
        self._heartbeat_at, self._redis_was_away = 0.0, True
        self._leases_at = time.monotonic() + self._settings.lease_seconds

    def _return_claims(self, folder: Path) -> None:
        if returned := return_claims(folder, self._claims, self._worker.id):
            log.warning("claims of a worker returned that could not reach redis when it stopped", claims=returned)

    def _sweep_scratch(self) -> None:
        if removed := self._scratch.sweep(self._return_claims):
            log.warning("scratch folders of dead workers removed", workers=removed)

    def _rescue(self, *, with_leases: bool) -> None:
        rescue = self._queue.rescue(worker_id=self._worker.id, with_leases=with_leases)
        for kind, number in asdict(rescue).items():
            if number:
                self._counters.add("rescues_total", number, kind=kind)
        if rescue.leases or rescue.given_up or rescue.republished or rescue.uncharged:
            log.warning(
                "jobs rescued",
                leases=rescue.leases,
                given_up=rescue.given_up,
                uncharged=rescue.uncharged,
                republished=rescue.republished,
            )
