"""Background work for batches: reads manifests, creates jobs a few at a time, and stores the results of ended jobs.

Any worker may do any step at any time and die at any point: the ids of jobs follow from the items, and each step is
committed by one atomic script. The lock on a batch only saves work: it keeps two workers from doing the same step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Event
from typing import Any

import structlog

from shared.batches.actions import BatchActions
from shared.batches.item_status import BatchItems
from shared.batches.model import Batch, BatchState, job_id_of
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects, Result, StoredItem
from shared.errors import (
    BatchNotFoundError,
    IllegalTransitionError,
    InputError,
    LifeCycleError,
    StemqueueError,
    StorageQuotaError,
    StoreFullError,
)
from shared.jobs.request import JobRequest, NextJob
from shared.jobs.store import JobStore
from shared.jobs.uploads import UploadStore
from shared.logs import Trouble
from shared.queue.dispatcher import JobQueue
from shared.queue.engine_catalog import EngineCatalog
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from shared.telemetry import tracing
from worker.batches.item_sources import ItemSources
from worker.batches.manifest_reader import ManifestReader
from worker.batches.reruns import BatchReruns
from worker.batches.results import BatchResults, in_chunks

log = structlog.get_logger(__name__)

MAX_LOCK_SECONDS = 15.0
"""How long a worker's lock on a batch lasts. If the worker dies, others continue after this time."""

READ_CHUNKS = 20
"""Chunks of a manifest that are read before other batches get their turn."""

FEED_AHEAD = 4
"""Queued and running jobs of a batch for each live slot. Raising it holds more records in Redis; lowering it can leave
slots idle if songs are short."""

MIN_WINDOW = 8
"""The least number of queued and running jobs of a batch."""


@dataclass(frozen=True)
class BatchFeeder:
    """One for each worker process; it runs in a thread of its own."""

    name: str
    settings: Settings
    store: JobStore
    uploads: UploadStore
    batches: BatchStore
    changes: BatchActions
    queue: JobQueue
    workers: WorkerRegistry
    storage: ObjectStorage
    objects: BatchObjects
    results: BatchResults
    stopping: Event
    _troubles: dict[str, Trouble] = field(default_factory=dict)

    @cached_property
    def _reruns(self) -> BatchReruns:
        return BatchReruns(self.batches, self.changes, self._items)

    @cached_property
    def _items(self) -> BatchItems:
        return BatchItems(self.store, self.batches, self.storage)

    @cached_property
    def _sources(self) -> ItemSources:
        return ItemSources(self._items, self.batches, self.storage, self.settings.max_upload_bytes)

    @property
    def _lock_seconds(self) -> float:
        return min(MAX_LOCK_SECONDS, self.settings.lease_seconds)

    def run_round(self) -> bool:
        """Do one turn of work for each live batch; return whether more can be done at once.

        Raises StoreUnavailableError.
        """
        more, live = False, self.batches.feeding.live_ids()
        for batch_id in self._troubles.keys() - set(live):
            del self._troubles[batch_id]
        for batch_id in live:
            if self.stopping.is_set():
                return False
            if self.batches.feeding.lock(batch_id, self.name, self._lock_seconds):
                more |= self._advance_locked_batch(batch_id)
        return more

    def _advance_locked_batch(self, batch_id: str) -> bool:
        """Do one turn of work for a batch, release its lock, and return whether more can be done at once."""
        try:
            more = self._advance_batch(batch_id)
        except BatchNotFoundError:
            return False
        except StemqueueError as error:
            # A fault of one batch, such as an unavailable bucket, must not stop the others.
            if self._troubles.setdefault(batch_id, Trouble()).should_log():
                log.warning("batch postponed", batch=batch_id, error=error.message)
            return False
        except Exception:
            # A defect that one batch meets must not keep those behind it from being fed.
            if self._troubles.setdefault(batch_id, Trouble()).should_log():
                log.exception("batch postponed by a defect", batch=batch_id)
            return False
        else:
            self._troubles.pop(batch_id, None)
            return more
        finally:
            self.batches.feeding.lock(batch_id, self.name, 0)

    def _advance_batch(self, batch_id: str) -> bool:
        batch = self.batches.read_batch(batch_id)
        if batch.is_changing:
            # The process that began the change has died.
            batch = self.changes.finish_change(batch_id)
        is_postponed = False
        if batch.state is BatchState.READING:
            try:
                self._read_manifest(batch)
            except (StoreFullError, StorageQuotaError) as error:
                # The items that were read become jobs, and their ends make room; or the owner deletes something.
                is_postponed = True
                if self._troubles.setdefault(batch_id, Trouble()).should_log():
                    log.warning("manifest postponed", batch=batch_id, error=error.message)
        more_to_check = self._reruns.check_chunks(batch, lambda: self._keep_lock(batch_id))
        fed = self._feed_jobs(batch)
        more_to_compact = self.results.compact_jobs(batch)
        self.results.flush_results(batch_id)
        batch = self.batches.read_batch(batch_id)
        if batch.state in {BatchState.ENDED, BatchState.CANCELED}:
            self.batches.feeding.mark_idle(batch_id)
        more_to_read = batch.state is BatchState.READING and not is_postponed
        return more_to_read or more_to_check or more_to_compact or fed > 0

    def _read_manifest(self, batch: Batch) -> None:
        catalog = EngineCatalog(self.settings, self.queue, self.workers)
        reader = ManifestReader(self.settings, self.uploads, self.batches, self.storage, catalog)
        reader.read_chunks(batch, READ_CHUNKS, lambda: self._keep_lock(batch.id))

    def _keep_lock(self, batch_id: str) -> bool:
        """Renew the lock; return False if another worker has it or this one stops."""
        return not self.stopping.is_set() and self.batches.feeding.lock(batch_id, self.name, self._lock_seconds)

    def _feed_jobs(self, batch: Batch) -> int:
        """Create jobs of the next items; return how many."""
        fed = 0
        slots = sum(worker.slots for worker in self.workers.live_workers())
        numbers = self.batches.feeding.next_numbers(batch.id, max(MIN_WINDOW, FEED_AHEAD * slots))
        for chunk, members in in_chunks(numbers).items():
            for item in self.objects.read_items(batch.id, chunk, members):
                if self.stopping.is_set():
                    return 0
                fed += self._create_job(batch, item)
        if fed:
            self.queue.dispatch()
        return fed

    def _create_job(self, batch: Batch, item: StoredItem) -> bool:
        """Return whether the item has become a job or has ended; if not, it stays for a later round."""
        try:
            self._submit_job(batch, item)
        except InputError as error:
            result = Result(error_code=error.code, error_message=error.message)
            self.batches.feeding.end_item(batch.id, item.number, result.to_text())
        except IllegalTransitionError:
            # The item was canceled in the meantime.
            return False
        except (LifeCycleError, StoreFullError) as error:
            # The queue is full or draining, or a quota is used up.
            log.debug("item postponed", batch=batch.id, number=item.number, error=error.message)
            return False
        return True

    def _submit_job(self, batch: Batch, item: StoredItem) -> None:
        """Create the item's job. It begins a trace, which is linked to the submission of the batch."""
        job_id = job_id_of(batch.id, item.number)
        request, awaits = self._job_request(batch, item)
        attributes = {**tracing.message_attributes(job_id, "send"), "stemqueue.batch.id": batch.id}
        with tracing.span("submit job", attributes, kind="producer", parent={}, links=[batch.request.trace]):
            traced = replace(request, trace=tracing.headers())
            self.store.submit(traced, job_id=job_id, batch_id=batch.id, awaits=awaits)

    def _job_request(self, batch: Batch, item: StoredItem) -> tuple[JobRequest, str | None]:
        """Return the request of an item's job, and the job for whose output it must wait."""
        if item.source is None or item.request is None:
            error: Mapping[str, Any] = item.error or {}
            raise InputError(str(error.get("message", "The line is invalid.")))
        awaits = None
        if "item" in item.source:
            source, awaits = self._sources.output_of_item(batch, item.source["item"], item.source["output"])
        else:
            source = self._sources.source_of(batch, item.source)
        members = dict(item.request)
        then = members.pop("then", ())
        request = JobRequest.from_members(
            members,
            source,
            priority=batch.request.priority,
            owner=batch.request.owner,
            request_id=batch.request.request_id,
            then=tuple(NextJob(job_id_of(batch.id, job["item"]), job["output"]) for job in then),
        )
        return request, awaits
