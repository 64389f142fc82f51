"""Builds the parts of a worker process, and runs the jobs that messages name.

`start` starts the background threads: the queue's (queue_thread.py), the feeder's and the collector's
(maintenance_threads.py), the storage watch and the engine watch.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import redis
import structlog

from shared.batches.actions import BatchActions
from shared.batches.item_status import BatchItems
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects
from shared.counters import Counters
from shared.errors import JobNotFoundError, StoreUnavailableError
from shared.jobs.claims import Claim
from shared.jobs.store import JobStore
from shared.jobs.uploads import UploadStore
from shared.logs import Trouble
from shared.maintenance.garbage_collector import Collector
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.redis_client.connection import connect
from shared.redis_client.scripts import Scripts
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from worker.batches.feeder import BatchFeeder
from worker.batches.results import BatchResults
from worker.child.engine_descriptions import State
from worker.child.pool import ChildPool
from worker.jobs.attempt_end import STOP_PATIENCE_SECONDS
from worker.jobs.result_cache import ResultCache
from worker.jobs.storage_watch import StorageWatch
from worker.jobs.supervisor import Supervisor
from worker.jobs.unreturned_claims import note_unreturned
from worker.sandbox.launch import protection
from worker.service.consumer_watch import ConsumerWatch
from worker.service.engine_watch import EngineWatch
from worker.service.maintenance_threads import CollectorThread, FeederThread
from worker.service.queue_thread import QueueThread
from worker.service.scratch_folder import ScratchFolder, deployment_of

log = structlog.get_logger(__name__)

CONSUMER_DEAD = 70
"""Exit code of a worker whose Celery consumer has died; whatever supervises the worker starts it again."""


class WorkerService:
    """One worker process. Celery's threads call `run_job`, one thread for each message.

    `descriptions` are those of its engines when MODEL_FOLDER was in the state `models`.
    """

    def __init__(
        self, settings: Settings, descriptions: Sequence[Mapping[str, Any]], models: State = frozenset()
    ) -> None:
        self.stopping = threading.Event()
        self.settings = settings
        with contextlib.suppress(OSError):
            # A child's sandbox allows only what exists when the child starts.
            settings.model_folder.mkdir(parents=True, exist_ok=True)
        self.engine_watch = EngineWatch(settings, descriptions, models, self.stopping, on_change=self._wake_threads)
        self.worker = Worker(
            id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            slots=settings.worker_slots,
            engines=tuple(d["name"] for d in descriptions),
            descriptions=tuple(descriptions),
            kept_slots=min(settings.interactive_slots, settings.worker_slots),
            landlock=protection().landlock,
            seccomp=protection().seccomp,
        )
        client = connect(settings)
        storage = ObjectStorage(settings)
        batches = BatchStore(settings, client)
        self.store = JobStore(settings, client)
        self.queue = JobQueue(settings, client)
        self.workers = WorkerRegistry(settings, client)
        self.counters = Counters(client, settings.redis_prefix)
        self.scratch = ScratchFolder(settings.scratch_folder, self.worker.id, deployment_of(settings))
        self.children = ChildPool(settings, self.scratch.path, self.counters)
        self.watch = StorageWatch(storage, self.stopping, self._wake_threads)
        self.consumer_watch = ConsumerWatch()
        self.supervisor = self._make_supervisor(client, storage, batches)
        self._queue_thread = self._make_queue_thread()
        feeder = self._make_feeder(client, storage, batches)
        self._feeder_thread = FeederThread(feeder, self.watch, self.stopping)
        self._collector_thread = CollectorThread(
            Collector(settings, storage, client), self.watch, self.counters, self.stopping, settings.collect_seconds
        )
        self._storage_thread = threading.Thread(target=self.watch.run_probes, name="storage-watch", daemon=True)
        self._engines_thread = threading.Thread(target=self.engine_watch.run, name="engine-watch", daemon=True)
        self._claiming = threading.Lock()
        self._running_jobs: set[str] = set()

    def _make_supervisor(self, client: redis.Redis, storage: ObjectStorage, batches: BatchStore) -> Supervisor:
        return Supervisor(
            settings=self.settings,
            store=self.store,
            storage=storage,
            children=self.children,
            counters=self.counters,
            stopping=self.stopping,
            scratch_folder=self.children.jobs_folder,
            result_cache=ResultCache(
                items=BatchItems(self.store, batches, storage),
                store=self.store,
                scripts=Scripts(client, self.settings.redis_prefix),
                storage=storage,
                engines=lambda: self.engine_watch.descriptions,
                analyse_music=self.settings.analyse_music,
            ),
            watch=self.watch,
            worker_folder=self.scratch.path,
        )

    def _make_queue_thread(self) -> QueueThread:
        return QueueThread(
            settings=self.settings,
            worker=self.worker,
            queue=self.queue,
            claims=self.store.claims,
            workers=self.workers,
            counters=self.counters,
            scratch=self.scratch,
            engine_watch=self.engine_watch,
            storage_watch=self.watch,
            consumer_watch=self.consumer_watch,
            stopping=self.stopping,
            on_dead_consumer=self._exit_to_be_restarted,
        )

    def _make_feeder(self, client: redis.Redis, storage: ObjectStorage, batches: BatchStore) -> BatchFeeder:
        objects = BatchObjects(storage)
        return BatchFeeder(
            name=self.worker.id,
            settings=self.settings,
            store=self.store,
            uploads=UploadStore(self.settings, client),
            batches=batches,
            changes=BatchActions(self.settings, client),
            queue=self.queue,
            workers=self.workers,
            storage=storage,
            objects=objects,
            results=BatchResults(self.store, batches, storage, objects),
            stopping=self.stopping,
        )

    def start(self) -> None:
        """Start the children and the background threads. Call it from the main thread."""
        self.children.warm()
        self._queue_thread.start()
        self._collector_thread.start()
        self._feeder_thread.start()
        self._storage_thread.start()
        self._engines_thread.start()

    def run_job(self, job_id: str) -> None:
        """Run the job that a message names, if it can still be claimed."""
        if self.stopping.is_set():
            return
        if self.watch.fault:
            self._wait_for_storage(job_id)
            return
        # One claim at a time, so that each sees the slots that earlier claims have taken.
        with self._claiming:
            if self._pass_on(job_id):
                return
            claim = self._claim(job_id)
        if claim is None:
            log.info("message without a job to claim", job=job_id)
            return
        self._running_jobs.add(job_id)
        try:
            self.supervisor.run_job(claim)
        finally:
            self._running_jobs.discard(job_id)
        self._wake_threads()

    def stop(self) -> None:
        """Hand running jobs back to the queue, and take no more."""
        self.stopping.set()
        self._wake_threads()

    def close(self) -> None:
        """End the children and remove this worker from the registry of live workers."""
        self.stop()
        self.children.close()
        self.scratch.close()
        try:
            self.counters.flush()
            self.workers.remove(self.worker.id)
            self.queue.dispatch()
        except StoreUnavailableError as error:
            log.warning("worker shutdown not recorded", error=error.message)

    def _wake_threads(self) -> None:
        self._queue_thread.wake()
        self._feeder_thread.wake()

    def _exit_to_be_restarted(self) -> None:
        """End the process: its consumer is dead, so it would receive no more jobs."""
        log.critical("celery consumer dead: the worker exits", exit_code=CONSUMER_DEAD)
        try:
            self.stop()
            give_up_at = time.monotonic() + STOP_PATIENCE_SECONDS
            while self._running_jobs and time.monotonic() < give_up_at:
                time.sleep(0.1)
            self.close()
        finally:
            # The main thread may hang, or wait for threads that do: an ordinary exit would wait for them.
            os._exit(CONSUMER_DEAD)

    def _wait_for_storage(self, job_id: str) -> None:
        """Put the message's job back into its queue, and block this thread until the storage is available."""
        try:
            self.queue.put_back(job_id)
        except StoreUnavailableError as error:
            log.warning("message not put back: the rescuer will publish the job again", job=job_id, error=error.message)
        self.watch.wait_until_available()

    def _pass_on(self, job_id: str) -> bool:
        try:
            return self.queue.pass_on(job_id, self.worker.id)
        except StoreUnavailableError:
            return False

    def _claim(self, job_id: str) -> Claim | None:
        """Claim a job, or return None if it cannot be claimed.

        While Redis is unavailable, the same claim is tried again: the first call may have succeeded, and only its
        answer may have been lost.
        """
        token, trouble = secrets.token_hex(8), Trouble()
        while True:
            try:
                return self.store.claims.take(job_id, self.worker.id, token)
            except JobNotFoundError:
                return None
            except StoreUnavailableError as error:
                if trouble.should_log():
                    log.warning("claim not answered by redis", job=job_id, error=error.message)
                if self.stopping.wait(1.0):
                    note_unreturned(self.scratch.path, job_id, token)
                    return None
