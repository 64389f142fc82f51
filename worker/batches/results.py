"""Stores the results of a batch's ended jobs: first in Redis, in place of the job's record, then in storage by chunks.

An item ends as its job does, with two exceptions: it fails if its stems cannot be exported, and it keeps its earlier
result if a job of a rerun, which was to replace that result, has failed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from shared.batches.item_status import BatchItems
from shared.batches.model import Batch, BatchState, chunk_of, job_id_of, made_by, numbers_of
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects, Result, results_key
from shared.jobs.archive import store_document
from shared.jobs.model import Job, JobState
from shared.jobs.store import JobStore, new_id
from shared.storage.object_storage import ObjectStorage
from worker.batches.exports import BatchExports, ExportPostponedError

COMPACT_AT_ONCE = 200
"""Ended jobs whose records are replaced by results in one round."""

FLUSH_AT = 400
"""While the batch runs, this many results in Redis make complete chunks of them move to storage."""

EXPORT_FAILED = "export_failed"
"""The error code of an item whose stems were made and could not be exported."""

FINAL_LETTERS = frozenset("sfci")
"""Letters of items that have ended, with results of their own (see LETTERS in the model of batches)."""


@dataclass(frozen=True)
class ItemEnd:
    """How an item ends: its result, the letter of its state, and the size of an earlier result that it replaces."""

    result: Result
    letter: str
    unneeded_bytes: int


@dataclass(frozen=True)
class BatchResults:
    """One for each worker process. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    store: JobStore
    batches: BatchStore
    storage: ObjectStorage
    objects: BatchObjects

    @cached_property
    def _exports(self) -> BatchExports:
        return BatchExports(self.storage, self.objects)

    def compact_jobs(self, batch: Batch) -> bool:
        """Replace records of ended jobs by results; return whether more can be replaced at once."""
        numbers = self.batches.feeding.ended_numbers(batch.id, COMPACT_AT_ONCE)
        earlier = self._earlier_results(batch, numbers)
        done = 0
        for job in self.store.read_jobs([job_id_of(batch.id, n) for n in numbers]):
            number = int(job.id[-8:], 16)
            done += self._compact_job(batch, job, number, earlier.get(number, Result()))
        return len(numbers) == COMPACT_AT_ONCE and done > 0

    def flush_results(self, batch_id: str) -> None:
        """Move the results of complete chunks to storage, once there are enough of them or the batch has ended."""
        pending = self.batches.feeding.pending_result_numbers(batch_id)
        state = self.batches.read_batch(batch_id).state
        if len(pending) < FLUSH_AT and state in {BatchState.READING, BatchState.RUNNING}:
            return
        for chunk, numbers in in_chunks(pending).items():
            letters = self.batches.read_letters(batch_id, numbers_of(chunk))
            if set(letters) <= FINAL_LETTERS:
                self._flush_chunk(batch_id, chunk, numbers)

    def _earlier_results(self, batch: Batch, numbers: list[int]) -> dict[int, Result]:
        """Return the results with stems that the items had before a rerun."""
        if not batch.is_rerun:
            return {}
        items = BatchItems(self.store, self.batches, self.storage)
        found: dict[int, Result] = {}
        for chunk, members in in_chunks(numbers).items():
            found.update(items.read_results(batch.id, chunk, members))
        return {n: result for n, result in found.items() if result.audio_outputs}

    def _compact_job(self, batch: Batch, job: Job, number: int, earlier: Result) -> bool:
        """Replace a job's record by its item's result; return False if that is not possible yet."""
        try:
            end = self._item_end(batch, job, number, earlier)
        except ExportPostponedError:
            return False
        result = end.result
        return self.batches.feeding.compact(
            batch.id,
            number,
            job_version=job.version,
            result=result.to_text(),
            letter=end.letter,
            audio_seconds=result.separated_seconds - earlier.separated_seconds,
            stored_bytes=result.stored_bytes - earlier.stored_bytes,
            unneeded_bytes=end.unneeded_bytes,
            upload_id=job.request.source.upload_id,
            made_by=made_by(job.request.engine, result.engine_version),
        )

    def _item_end(self, batch: Batch, job: Job, number: int, earlier: Result) -> ItemEnd:
        """Export the stems if the batch asks for it, and return how the item ends. Raises ExportPostponedError."""
        result, letter = Result.of(job), job.state.value[0]
        if job.state is JobState.SUCCEEDED:
            if export := batch.request.export:
                error = self._exports.export_stems(export, batch, job, number)
                if error:
                    result = replace(result, error_code=EXPORT_FAILED, error_message=error.message)
                    letter = "f"
            return ItemEnd(result, letter, unneeded_bytes=earlier.stored_bytes)
        if earlier.audio_outputs:
            return ItemEnd(earlier, "f" if earlier.error_code else "s", unneeded_bytes=0)
        # A job that a rescuer or a cancel ended has no document in storage yet.
        store_document(self.storage, replace(job, fence=0))
        return ItemEnd(result, letter, unneeded_bytes=earlier.stored_bytes)

    def _flush_chunk(self, batch_id: str, chunk: int, numbers: list[int]) -> None:
        results = self.batches.read_pending_results(batch_id, numbers)
        before = self.batches.chunk_version(batch_id, chunk)
        known = self.objects.read_results(batch_id, chunk, before) if before else {}
        version = new_id()[:8]
        self.objects.write_results(batch_id, chunk, version, {**known, **results})
        if (
            self.batches.feeding.forget_stored_results(batch_id, chunk, before=before, version=version, results=results)
            and before
        ):
            self.storage.delete([results_key(batch_id, chunk, before)])


def in_chunks(numbers: list[int]) -> dict[int, list[int]]:
    """Return the numbers by the chunk that they are in."""
    found: dict[int, list[int]] = {}
    for number in numbers:
        found.setdefault(chunk_of(number), []).append(number)
    return found
