"""What a worker process is made of, and what it does besides jobs: tell that it lives, keep the line moving, rescue.

Owns the wiring and the background thread. Any number of workers may do the same at once: each step is one atomic
script, so that none doubles another's work.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import structlog

from shared.batches.actions import BatchActions
from shared.batches.item_status import BatchItems
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects
from shared.counters import Counters
from shared.errors import JobNotFoundError, StemqueueError, StoreUnavailableError
from shared.jobs.store import Claim, JobStore
from shared.jobs.uploads import UploadStore
from shared.logs import Trouble
from shared.maintenance.garbage_collector import Collector
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.redis_client.connection import connect
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from worker.batches.feeder import BatchFeeder
from worker.batches.results import BatchResults
from worker.child.pool import Children
from worker.jobs.content_store import ContentStore
from worker.jobs.result_cache import EarlierResults
from worker.jobs.scratch_folder import ScratchFolder, deployment_of
from worker.jobs.storage_watch import StorageWatch
from worker.jobs.supervisor import Supervisor
from worker.sandbox.launch import protection

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""How often the line is looked at; raising it delays jobs whose submission could not publish them."""


class WorkerService:
    """One worker process: its parts, and its background thread."""

    def __init__(self, settings: Settings, descriptions: Sequence[Mapping[str, Any]]) -> None:
        self.stopping = threading.Event()
        self.settings = settings
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
        self.store = JobStore(settings, client)
        self.queue = JobQueue(settings, client)
        self.workers = WorkerRegistry(settings, client)
        self.counters = Counters(client, settings.redis_prefix)
        self.scratch = ScratchFolder(settings.scratch_folder, self.worker.id, deployment_of(settings))
        self.children = Children(settings, self.scratch.path, self.counters)
        storage = ObjectStorage(settings)
        self._wake, self._wake_feeder = threading.Event(), threading.Event()
        self.watch = StorageWatch(storage, self.stopping, self._storage_changed)
        self.collector = Collector(settings, storage, client)
        batches = BatchStore(settings, client)
        objects = BatchObjects(storage)
        self.feeder = BatchFeeder(
            name=self.worker.id,
            settings=settings,
            store=self.store,
            uploads=UploadStore(settings, client),
            batches=batches,
            changes=BatchActions(settings, client),
            queue=self.queue,
            workers=self.workers,
            storage=storage,
            objects=objects,
            results=BatchResults(self.store, batches, storage, objects),
            stopping=self.stopping,
        )
        self.supervisor = Supervisor(
            settings=settings,
            store=self.store,
            storage=storage,
            children=self.children,
            counters=self.counters,
            stopping=self.stopping,
            scratch_folder=self.children.jobs_folder,
            earlier_results=EarlierResults(
                items=BatchItems(self.store, batches, storage),
                store=self.store,
                contents=ContentStore(settings, client),
                storage=storage,
                engines=self.worker.descriptions,
            ),
            watch=self.watch,
        )
        self._thread = threading.Thread(target=self._background, name="background", daemon=True)
        # Collecting waits on storage, and must not hold up heartbeats and rescue.
        self._collecting = threading.Thread(target=self._collect, name="collector", daemon=True)
        # Feeding too, and reading a manifest takes a while.
        self._feeding = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._watching = threading.Thread(target=self.watch.run, name="storage-watch", daemon=True)
        self._claiming = threading.Lock()

    def start(self) -> None:
        """Start the children and the background thread. Call it from the main thread."""
        self.children.warm()
        self._thread.start()
        self._collecting.start()
        self._feeding.start()
        self._watching.start()

    def run_job(self, job_id: str) -> None:
        """Do what a message asks for, if the job is still to be had."""
        if self.stopping.is_set():
            return
        if self.watch.fault:
            self._wait_for_storage(job_id)
            return
        # One after the other, so that each sees what those before it have taken.
        with self._claiming:
            if self._pass_on(job_id):
                return
            claim = self._claim(job_id)
        if claim is None:
            log.info("message without a job to claim", job=job_id)
            return
        self.supervisor.run(claim)
        self._wake.set()
        self._wake_feeder.set()

    def stop(self) -> None:
        """Have running jobs handed back."""
        self.stopping.set()
        self._wake.set()
        self._wake_feeder.set()

    def close(self) -> None:
        """End the children and take this worker out of the reckoning."""
        self.stop()
        self.children.close()
        self.scratch.close()
        try:
            self.counters.flush()
            self.workers.remove(self.worker.id)
            self.queue.dispatch()
        except StoreUnavailableError as error:
            log.warning("worker shutdown not recorded", error=error.message)

    def _storage_changed(self) -> None:
        """Have it told at once whether this worker takes jobs."""
        self._wake.set()
        self._wake_feeder.set()

    def _wait_for_storage(self, job_id: str) -> None:
        """Leave a job to its line, and take no other message, until the storage serves."""
        try:
            self.queue.put_back(job_id)
        except StoreUnavailableError as error:
            log.warning("message left to be published again", job=job_id, error=error.message)
        self.watch.wait()

    def _pass_on(self, job_id: str) -> bool:
        try:
            return self.queue.pass_on(job_id, self.worker.id)
        except StoreUnavailableError:
            return False

    def _claim(self, job_id: str) -> Claim | None:
        """Claim a job; while Redis is away, ask again: it may have noted the claim that nobody has heard of."""
        token, trouble = secrets.token_hex(8), Trouble()
        while True:
            try:
                return self.store.claim(job_id, self.worker.id, token)
            except JobNotFoundError:
                return None
            except StoreUnavailableError as error:
                if trouble.is_news():
                    log.warning("claim not answered", job=job_id, error=error.message)
                if self.stopping.wait(1.0):
                    return None

    def _background(self) -> None:
        # Leases that ran out while Redis was away belong to workers that still live: let them beat first, for as long
        # as a lease lasts. Whether it was away just now, a worker that starts cannot know.
        grace = min(self.settings.lease_seconds, 10.0)
        tell_at, rescue_at, trouble, was_away = 0.0, 0.0, Trouble(), False
        leases_at = time.monotonic() + grace
        while not self.stopping.is_set():
            now = time.monotonic()
            try:
                if now >= tell_at or self.worker.fault != self.watch.fault:
                    self.worker = replace(self.worker, fault=self.watch.fault)
                    was_away |= self.queue.is_new_server()
                    self.workers.heartbeat(self.worker, was_away=was_away)
                    tell_at, was_away = now + self.settings.worker_alive_seconds / 4, False
                if now >= rescue_at:
                    self._rescue(with_leases=now >= leases_at)
                    rescue_at = now + self.settings.rescue_seconds
                self.queue.dispatch()
                self.counters.flush()
                trouble.over()
            except StoreUnavailableError as error:
                self.counters.add("faults_total", part="redis")
                if trouble.is_news():
                    log.warning("queue away", error=error.message)
                tell_at, was_away = 0.0, True
                leases_at = time.monotonic() + self.settings.lease_seconds
            except Exception:
                # Without this thread the worker would be counted out, and its jobs taken from it.
                log.exception("background broke")
                rescue_at = time.monotonic() + self.settings.rescue_seconds
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()

    def _feed(self) -> None:
        trouble = Trouble()
        while not self.stopping.is_set():
            try:
                # All that the feeder does goes through the storage.
                more = not self.watch.fault and self.feeder.run()
                trouble.over()
                if more:
                    continue
            except StoreUnavailableError as error:
                if trouble.is_news():
                    log.warning("batches wait", error=error.message)
            except Exception:
                # A defect in one batch's way must not end the thread that feeds them all.
                log.exception("feeding broke")
            self._wake_feeder.wait(TICK_SECONDS)
            self._wake_feeder.clear()

    def _collect(self) -> None:
        while not self.stopping.wait(min(10.0, self.settings.collect_seconds)):
            if self.watch.fault:
                # Its turn is better taken later.
                continue
            try:
                done = self.collector.collect()
            except StemqueueError as error:
                log.warning("collection put off", error=error.message)
                continue
            except Exception:
                log.exception("collecting broke")
                continue
            if done:
                write = log.info if any(asdict(done).values()) else log.debug
                write("collected", **asdict(done))
                for kind, number in asdict(done).items():
                    self.counters.add("collected_total", number, kind=kind)

    def _rescue(self, *, with_leases: bool) -> None:
        if swept := self.scratch.sweep():
            log.warning("cleared up after dead workers", workers=swept)
        rescue = self.queue.rescue(with_leases=with_leases)
        for kind, number in asdict(rescue).items():
            if number:
                self.counters.add("rescues_total", number, kind=kind)
        if rescue.leases or rescue.given_up or rescue.republished or rescue.uncharged:
            log.warning(
                "rescued",
                leases=rescue.leases,
                given_up=rescue.given_up,
                uncharged=rescue.uncharged,
                republished=rescue.republished,
            )
