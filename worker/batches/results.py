"""Ended jobs of a batch become results: stems are exported, records go, and results are stored chunk by chunk.

Owns what an item's end is: that of its job, unless its stems cannot be exported, or a job that was to replace an
earlier result failed; then the item keeps what it had.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import structlog

from shared.batches.export_names import export_keys
from shared.batches.item_status import BatchItems
from shared.batches.model import Batch, BatchState, chunk_of, job_id_of, made_by, numbers_of
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects, Result, results_key
from shared.errors import StemqueueError, StorageUnavailableError, TransientError
from shared.jobs.archive import store_document
from shared.jobs.model import Job, JobState
from shared.jobs.store import JobStore, new_id
from shared.storage.object_storage import ObjectStorage

log = structlog.get_logger(__name__)

COMPACT_AT_ONCE = 200
"""Ended jobs whose records are exchanged for results in one go."""

FLUSH_AT = 400
"""Results in Redis from which on whole chunks of them go to storage, while the batch runs."""

EXPORT_TRIES = 5
"""How often the copies of a job's stems are tried when the export bucket answers and refuses them; raising it leaves an
operator more time to allow them. A bucket that does not answer is waited for, however long."""

LONGEST_EXPORT_PAUSE_SECONDS = 60.0
"""The longest pause between two tries; raising it delays exports when their bucket is back."""

EXPORT_FAILED = "export_failed"


@dataclass
class PutOff:
    """An export that is tried again."""

    tries: int = 0
    refusals: int = 0
    next_at: float = 0.0


@dataclass(frozen=True)
class BatchResults:
    """Works for one worker process. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    store: JobStore
    batches: BatchStore
    storage: ObjectStorage
    objects: BatchObjects
    _put_off: dict[str, PutOff] = field(default_factory=dict)

    def compact(self, batch: Batch) -> bool:
        """Exchange ended jobs' records for results; True when there are more at once."""
        numbers = self.batches.ended_numbers(batch.id, COMPACT_AT_ONCE)
        earlier = self._earlier(batch, numbers)
        done = 0
        for job in self.store.read_many([job_id_of(batch.id, n) for n in numbers]):
            number = int(job.id[-8:], 16)
            done += self._compact_one(batch, job, number, earlier.get(number, Result()))
        return len(numbers) == COMPACT_AT_ONCE and done > 0

    def flush(self, batch_id: str) -> None:
        """Put the results of chunks that are done into storage, once there are enough of them."""
        pending = self.batches.pending_results(batch_id)
        state = self.batches.read(batch_id).state
        if len(pending) < FLUSH_AT and state in {BatchState.READING, BatchState.RUNNING}:
            return
        for chunk, numbers in in_chunks(pending).items():
            letters = self.batches.letters(batch_id, numbers_of(chunk))
            if set(letters) <= set("sfci"):
                self._flush_chunk(batch_id, chunk, numbers)

    def _earlier(self, batch: Batch, numbers: list[int]) -> dict[int, Result]:
        if not batch.is_rerun:
            return {}
        items = BatchItems(self.store, self.batches, self.storage)
        found: dict[int, Result] = {}
        for chunk, members in in_chunks(numbers).items():
            found.update(items.results(batch.id, chunk, members))
        return {n: result for n, result in found.items() if result.stems}

    def _compact_one(self, batch: Batch, job: Job, number: int, earlier: Result) -> bool:
        result, letter = Result.of(job), job.state.value[0]
        if job.state is JobState.SUCCEEDED and batch.request.export:
            if (put_off := self._put_off.get(job.id)) and time.monotonic() < put_off.next_at:
                return False
            try:
                self._export(batch, job, number)
            except StemqueueError as error:
                if not self._gives_up(job, error, batch.request.export.bucket):
                    return False
                result = replace(result, error_code=EXPORT_FAILED, error_message=error.message)
                letter = "f"
        self._put_off.pop(job.id, None)
        unneeded = earlier.stored_bytes
        if job.state is not JobState.SUCCEEDED:
            if earlier.stems:
                result, letter, unneeded = earlier, "f" if earlier.error_code else "s", 0
            else:
                # Nobody wrote it down yet, if a rescuer or a cancel ended it.
                store_document(self.storage, replace(job, fence=0))
        return self.batches.compact(
            batch.id,
            number,
            job_version=job.version,
            result=result.to_text(),
            letter=letter,
            audio_seconds=_seconds(result) - _seconds(earlier),
            stored_bytes=result.stored_bytes - earlier.stored_bytes,
            unneeded_bytes=unneeded,
            upload_id=job.request.source.upload_id,
            made_by=made_by(job.request.engine, result.engine_version),
        )

    def _export(self, batch: Batch, job: Job, number: int) -> None:
        export = batch.request.export
        assert export is not None  # noqa: S101 - asked by the caller
        (item,) = self.objects.items(batch.id, chunk_of(number), [number])
        stems = {o.name: o for o in job.outputs if o.kind == "stem"}
        for name, key in export_keys(export, item, list(stems)).items():
            stem = stems[name]
            self.storage.copy(stem.key, key, size_bytes=stem.size_bytes, etag=stem.etag, bucket=export.bucket)

    def _gives_up(self, job: Job, error: StemqueueError, bucket: str) -> bool:
        """Return whether an export has failed for good: what is away is waited for, and a refusal is final."""
        put_off = self._put_off.setdefault(job.id, PutOff())
        put_off.tries += 1
        put_off.refusals += isinstance(error, StorageUnavailableError) and error.is_refusal and self._answers(bucket)
        if isinstance(error, TransientError) and put_off.refusals < EXPORT_TRIES:
            pause = min(2.0 ** (put_off.tries - 1), LONGEST_EXPORT_PAUSE_SECONDS)
            put_off.next_at = time.monotonic() + pause
            log.warning("export put off", job=job.id, error=error.message, seconds=pause)
            return False
        return True

    def _answers(self, bucket: str) -> bool:
        try:
            self.storage.ping(bucket)
        except StorageUnavailableError:
            return False
        return True

    def _flush_chunk(self, batch_id: str, chunk: int, numbers: list[int]) -> None:
        results = self.batches.results(batch_id, numbers)
        before = self.batches.chunk_version(batch_id, chunk)
        known = self.objects.results(batch_id, chunk, before) if before else {}
        version = new_id()[:8]
        self.objects.write_results(batch_id, chunk, version, {**known, **results})
        if (
            self.batches.forget_stored_results(batch_id, chunk, before=before, version=version, results=results)
            and before
        ):
            self.storage.delete([results_key(batch_id, chunk, before)])


def in_chunks(numbers: list[int]) -> dict[int, list[int]]:
    """Return the numbers by the chunk that they lie in."""
    found: dict[int, list[int]] = {}
    for number in numbers:
        found.setdefault(chunk_of(number), []).append(number)
    return found


def _seconds(result: Result) -> float:
    return (result.duration_seconds or 0.0) if result.stems else 0.0
