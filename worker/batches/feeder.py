"""Turns batches into jobs, a few at a time, and ended jobs into results: what a batch needs that nobody waits for.

Owns the order of the steps and their bounds. Any worker may do any of them at any time, and die at any point: jobs'
ids follow from the items, and each step is taken over in one script. The lock only keeps two from doing the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    AudioEmptyError,
    BatchNotFoundError,
    IllegalTransitionError,
    InputError,
    LifeCycleError,
    SourceMissingError,
    SourceTooLargeError,
    StemqueueError,
    StorageUnavailableError,
    StoreFullError,
)
from shared.jobs.model import JobRequest, Source
from shared.jobs.store import JobStore
from shared.jobs.uploads import UploadStore
from shared.logs import Trouble
from shared.queue.dispatcher import JobQueue
from shared.queue.engine_catalog import EngineCatalog
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from shared.stored_records import read_members
from worker.batches.manifest_reader import ManifestReading
from worker.batches.reruns import BatchReruns
from worker.batches.results import BatchResults, in_chunks

log = structlog.get_logger(__name__)

MAX_LOCK_SECONDS = 15.0
"""How long a batch is one worker's; should that die, others go on after this."""

READ_CHUNKS = 20
"""Chunks of a manifest read in a row, before other batches get their turn."""

FEED_AHEAD = 4
"""Jobs of a batch in line or running for each live slot. Raising it holds more records in Redis; lowering it lets
slots run dry where songs are short."""

MIN_WINDOW = 8
"""Jobs of a batch in line or running at least."""


@dataclass(frozen=True)
class BatchFeeder:
    """Works for one worker process, in a thread of its own."""

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
        return BatchReruns(self.batches, self.changes, BatchItems(self.store, self.batches, self.storage))

    @property
    def _lock_seconds(self) -> float:
        return min(MAX_LOCK_SECONDS, self.settings.lease_seconds)

    def run(self) -> bool:
        """Do what there is to do for all batches; True when there is more at once. Raises StoreUnavailableError."""
        more, live = False, self.batches.live_ids()
        for batch_id in self._troubles.keys() - set(live):
            del self._troubles[batch_id]
        for batch_id in live:
            if self.stopping.is_set():
                return False
            if not self.batches.lock(batch_id, self.name, self._lock_seconds):
                continue
            try:
                more |= self._work(batch_id)
            except BatchNotFoundError:
                continue
            except StemqueueError as error:
                # One batch's trouble (its bucket is away, say) is not the others'.
                if self._troubles.setdefault(batch_id, Trouble()).is_news():
                    log.warning("batch waits", batch=batch_id, error=error.message)
            else:
                self._troubles.pop(batch_id, None)
            finally:
                self.batches.lock(batch_id, self.name, 0)
        return more

    def _work(self, batch_id: str) -> bool:
        batch = self.batches.read(batch_id)
        if batch.is_changing:
            # Whoever began it died over it.
            batch = self.changes.finish_change(batch_id)
        if batch.state is BatchState.READING:
            try:
                self._read(batch)
            except StoreFullError as error:
                # What was read goes on, and its end makes room.
                log.debug("manifest waits", batch=batch_id, error=error.message)
        looks_on = self._reruns.look_on(batch, lambda: self._keeps(batch_id))
        fed = self._feed(batch)
        more = self.results.compact(batch) or looks_on
        self.results.flush(batch_id)
        batch = self.batches.read(batch_id)
        if batch.state in {BatchState.ENDED, BatchState.CANCELED}:
            self.batches.mark_idle(batch_id)
        return batch.state is BatchState.READING or more or fed > 0

    def _read(self, batch: Batch) -> None:
        catalog = EngineCatalog(self.settings, self.queue, self.workers)
        reading = ManifestReading(self.settings, self.uploads, self.batches, self.storage, catalog)

        reading.read_on(batch, READ_CHUNKS, lambda: self._keeps(batch.id))

    def _keeps(self, batch_id: str) -> bool:
        return not self.stopping.is_set() and self.batches.lock(batch_id, self.name, self._lock_seconds)

    # Items become jobs

    def _feed(self, batch: Batch) -> int:
        fed = 0
        slots = sum(worker.slots for worker in self.workers.live_workers())
        numbers = self.batches.next_numbers(batch.id, max(MIN_WINDOW, FEED_AHEAD * slots))
        for chunk, members in in_chunks(numbers).items():
            for item in self.objects.items(batch.id, chunk, members):
                if self.stopping.is_set():
                    return 0
                fed += self._feed_one(batch, item)
        if fed:
            self.queue.dispatch()
        return fed

    def _feed_one(self, batch: Batch, item: StoredItem) -> bool:
        try:
            request = self._request(batch, item)
            self.store.submit(request, job_id=job_id_of(batch.id, item.number), batch_id=batch.id)
        except InputError as error:
            result = Result(error_code=error.code, error_message=error.message)
            self.batches.end_item(batch.id, item.number, result.to_text())
        except IllegalTransitionError:
            # Canceled since it was looked at.
            return False
        except (LifeCycleError, StoreFullError) as error:
            # Full, draining, a quota: it waits with the others.
            log.debug("item waits", batch=batch.id, number=item.number, error=error.message)
            return False
        return True

    def _request(self, batch: Batch, item: StoredItem) -> JobRequest:
        if item.source is None or item.request is None:
            error: Mapping[str, Any] = item.error or {}
            raise InputError(str(error.get("message", "The line is invalid.")))
        source = dict(item.source)
        if not source.get("etag"):
            source.update(self._look_up(source["key"], source.get("bucket")))
        request = dict(item.request)
        if request.get("stems"):
            request["stems"] = tuple(request["stems"])
        return read_members(
            JobRequest,
            request,
            source=read_members(Source, source),
            priority=batch.request.priority,
            owner=batch.request.owner,
            request_id=batch.request.request_id,
        )

    def _look_up(self, key: str, bucket: str | None) -> dict[str, Any]:
        try:
            size_bytes, etag = self.storage.head(key, bucket=bucket)
        except (StorageUnavailableError, SourceMissingError) as error:
            # A bucket that is away, or does not exist now, says nothing about its objects: the batch waits.
            self._demand_bucket(bucket)
            if isinstance(error, SourceMissingError):
                raise
            # This object is not served, and others are: its job shall try again, and say so.
            return {"size_bytes": 0}
        if not size_bytes:
            raise AudioEmptyError("The object is empty.")
        if size_bytes > self.settings.max_upload_bytes:
            limit = self.settings.max_upload_bytes
            raise SourceTooLargeError(f"The object is larger than the {limit:,} bytes that this server takes.")
        return {"size_bytes": size_bytes, "etag": etag}

    def _demand_bucket(self, bucket: str | None) -> None:
        """Raise StorageUnavailableError if a bucket does not answer; a refusal is an answer."""
        try:
            self.storage.ping(bucket)
        except StorageUnavailableError as error:
            # Whoever may read objects may not be allowed to ask for the bucket.
            if not error.is_refusal:
                raise
