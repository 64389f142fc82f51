"""Turns batches into jobs, a few at a time, and ended jobs into results: what a batch needs that nobody waits for.

Owns the order of the steps and their bounds. Any worker may do any of them at any time, and die at any point: jobs'
ids follow from the items, and each step is taken over in one script. The lock only keeps two from doing the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import structlog

from shared.batch import Batch, BatchState, chunk_of, job_id_of, numbers_of
from shared.batch_objects import BatchObjects, Item, Result, results_key
from shared.batch_store import BatchStore
from shared.engine_catalog import EngineCatalog
from shared.errors import (
    AudioEmptyError,
    BatchNotFoundError,
    IllegalTransitionError,
    InputError,
    LifeCycleError,
    StemqueueError,
    StorageUnavailableError,
)
from shared.job import Job, JobRequest, JobState, Source
from shared.job_document import store_document
from shared.job_queue import JobQueue
from shared.job_store import JobStore, new_id
from shared.object_storage import ObjectStorage
from shared.settings import Settings
from shared.upload_store import UploadStore
from worker.manifest_reading import ManifestReading

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

COMPACT_AT_ONCE = 200
"""Ended jobs whose records are exchanged for results in one go."""

FLUSH_AT = 400
"""Results in Redis from which on whole chunks of them go to storage; while the batch runs."""


@dataclass(frozen=True)
class BatchFeeder:
    """Works for one worker process, in a thread of its own."""

    name: str
    settings: Settings
    store: JobStore
    uploads: UploadStore
    batches: BatchStore
    queue: JobQueue
    storage: ObjectStorage
    objects: BatchObjects
    stopping: Event

    @property
    def _lock_seconds(self) -> float:
        return min(MAX_LOCK_SECONDS, self.settings.lease_seconds)

    def run(self) -> bool:
        """Do what there is to do for all batches; True when there is more at once. Raises StoreUnavailableError."""
        more = False
        for batch_id in self.batches.live_ids():
            if self.stopping.is_set():
                return False
            if not self.batches.hold(batch_id, self.name, self._lock_seconds):
                continue
            try:
                more |= self._work(batch_id)
            except BatchNotFoundError:
                continue
            except StemqueueError as error:
                # One batch's trouble (its bucket is away, say) is not the others'.
                log.warning("batch waits", batch=batch_id, error=error.message)
            finally:
                self.batches.hold(batch_id, self.name, 0)
        return more

    def _work(self, batch_id: str) -> bool:
        batch = self.batches.read(batch_id)
        if batch.state is BatchState.READING:
            self._read(batch)
        fed = self._feed(batch)
        compacted = self._compact(batch)
        self._flush(batch_id)
        batch = self.batches.read(batch_id)
        if batch.state in {BatchState.ENDED, BatchState.CANCELED}:
            self.batches.rest(batch_id)
        return batch.state is BatchState.READING or compacted == COMPACT_AT_ONCE or fed > 0

    def _read(self, batch: Batch) -> None:
        catalog = EngineCatalog(self.settings, self.queue)
        reading = ManifestReading(self.settings, self.uploads, self.batches, self.storage, catalog)

        def proceed() -> bool:
            return not self.stopping.is_set() and self.batches.hold(batch.id, self.name, self._lock_seconds)

        reading.read_on(batch, READ_CHUNKS, proceed)

    # Items become jobs

    def _feed(self, batch: Batch) -> int:
        fed = 0
        slots = sum(worker.slots for worker in self.queue.workers())
        numbers = self.batches.next_numbers(batch.id, max(MIN_WINDOW, FEED_AHEAD * slots))
        for chunk, members in in_chunks(numbers).items():
            for item in self.objects.items(batch.id, chunk, members):
                if self.stopping.is_set():
                    return 0
                fed += self._feed_one(batch, item)
        if fed:
            self.queue.dispatch()
        return fed

    def _feed_one(self, batch: Batch, item: Item) -> bool:
        try:
            request = self._request(batch, item)
            self.store.submit(request, job_id=job_id_of(batch.id, item.number), batch_id=batch.id)
        except InputError as error:
            result = Result(error_code=error.code, error_message=error.message)
            self.batches.end_item(batch.id, item.number, result.to_text())
        except IllegalTransitionError:
            # Canceled since it was looked at.
            return False
        except LifeCycleError as error:
            # Full, draining, a quota: it waits with the others.
            log.info("item waits", batch=batch.id, number=item.number, error=error.message)
            return False
        return True

    def _request(self, batch: Batch, item: Item) -> JobRequest:
        if item.source is None or item.request is None:
            error: Mapping[str, Any] = item.error or {}
            raise InputError(str(error.get("message", "The line is invalid.")))
        source = dict(item.source)
        if not source.get("etag"):
            source.update(self._look_up(source["key"], source.get("bucket")))
        request = dict(item.request)
        if request.get("stems"):
            request["stems"] = tuple(request["stems"])
        return JobRequest(
            source=Source(**source),
            priority=batch.request.priority,
            owner=batch.request.owner,
            request_id=batch.request.request_id,
            **request,
        )

    def _look_up(self, key: str, bucket: str | None) -> dict[str, Any]:
        try:
            size_bytes, etag = self.storage.head(key, bucket=bucket)
        except StorageUnavailableError:
            self.storage.ping()
            # This object is refused, and others are not: its job shall try again, and say so.
            return {"size_bytes": 0}
        if not size_bytes:
            raise AudioEmptyError("The object is empty.")
        return {"size_bytes": size_bytes, "etag": etag}

    # Ended jobs become results

    def _compact(self, batch: Batch) -> int:
        numbers = self.batches.ended_numbers(batch.id, COMPACT_AT_ONCE)
        jobs = self.store.read_many([job_id_of(batch.id, n) for n in numbers])
        for job in jobs:
            if job.state in {JobState.FAILED, JobState.CANCELED}:
                # Nobody wrote it down yet, if a rescuer or a cancel ended it.
                store_document(self.storage, replace(job, fence=0))
            self._compact_one(batch, job)
        return len(numbers)

    def _compact_one(self, batch: Batch, job: Job) -> None:
        result = Result.of(job)
        self.batches.compact(
            batch.id,
            int(job.id[-8:], 16),
            job_version=job.version,
            result=result.to_text(),
            audio_seconds=result.duration_seconds or 0.0 if job.state is JobState.SUCCEEDED else 0.0,
            stored_bytes=result.stored_bytes,
            upload_id=job.request.source.upload_id,
        )

    # Results go to storage

    def _flush(self, batch_id: str) -> None:
        pending = self.batches.pending_results(batch_id)
        state = self.batches.read(batch_id).state
        if len(pending) < FLUSH_AT and state in {BatchState.READING, BatchState.RUNNING}:
            return
        for chunk, numbers in in_chunks(pending).items():
            letters = self.batches.letters(batch_id, numbers_of(chunk))
            if set(letters) <= set("sfci"):
                self._flush_chunk(batch_id, chunk, numbers)

    def _flush_chunk(self, batch_id: str, chunk: int, numbers: list[int]) -> None:
        results = self.batches.results(batch_id, numbers)
        before = self.batches.chunk_version(batch_id, chunk)
        known = self.objects.results(batch_id, chunk, before) if before else {}
        version = new_id()[:8]
        self.objects.write_results(batch_id, chunk, version, {**known, **results})
        if self.batches.flush(batch_id, chunk, before=before, version=version, results=results) and before:
            self.storage.delete([results_key(batch_id, chunk, before)])


def in_chunks(numbers: list[int]) -> dict[int, list[int]]:
    """Return the numbers by the chunk that they lie in."""
    found: dict[int, list[int]] = defaultdict(list)
    for number in numbers:
        found[chunk_of(number)].append(number)
    return dict(found)
