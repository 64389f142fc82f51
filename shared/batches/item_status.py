"""Reads the present state of items from storage, the batch's record and the jobs' records.

Letters are read first, then results, then jobs' records. Items that move between these places meanwhile are read again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.batches.model import CHUNK_ITEMS, LETTERS, Batch, ItemState, batch_of, chunk_of, job_id_of, numbers_of
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects, Result, StoredItem
from shared.errors import BatchNotFoundError, JobNotFoundError, SourceMissingError
from shared.jobs.archive import read_document
from shared.jobs.model import Job
from shared.jobs.store import JobStore
from shared.storage.object_keys import output_key
from shared.storage.object_storage import ObjectStorage

ATTEMPTS = 3
"""How often items are read again whose results or jobs' records moved while they were read."""

CHUNKS_AT_ONCE = 200
"""Chunks whose letters are read in one call, 100 kB."""

WITHOUT_JOB = frozenset({ItemState.WAITING, ItemState.INVALID})


@dataclass(frozen=True)
class ItemStatus:
    """An item with its present state and result."""

    item: StoredItem
    state: ItemState
    result: Result
    has_job: bool = False
    """Whether the item has or had a job."""


class BatchItems:
    """Reads items. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    def __init__(self, store: JobStore, batches: BatchStore, storage: ObjectStorage) -> None:
        self._store = store
        self._batches = batches
        self._storage = storage
        self._objects = BatchObjects(storage)

    def read_chunk(
        self, batch: Batch, chunk: int, *, state: ItemState | None = None, after: int = 0
    ) -> list[ItemStatus]:
        """Return the items of a chunk that come after a number, all of them or those in one state."""
        letters = self._batches.read_letters(batch.id, numbers_of(chunk))
        numbers = [n for n in range(numbers_of(chunk).start, numbers_of(chunk).start + len(letters)) if n > after]
        known = {n: letters[n - numbers_of(chunk).start] for n in numbers}
        if state is not None:
            # If the letter stands for no state, the job's record has it.
            numbers = [n for n in numbers if LETTERS.get(known[n], state) is state]
        found = self._read_statuses(batch.id, chunk, numbers)
        return [s for s in found if state is None or s.state is state]

    def iterate(self, batch: Batch, *, state: ItemState | None = None, after: int = 0) -> Iterator[ItemStatus]:
        """Yield the items in the manifest's order."""
        chunks = range(after // CHUNK_ITEMS, -(-batch.total // CHUNK_ITEMS))
        for chunk in chunks if state is None else self._chunks_with(batch.id, chunks, state):
            yield from self.read_chunk(batch, chunk, state=state, after=after)

    def read_page(
        self, batch: Batch, *, limit: int, after: int, state: ItemState | None = None
    ) -> tuple[list[ItemStatus], bool]:
        """Return some items after a number, and whether there are more."""
        found = list(itertools.islice(self.iterate(batch, state=state, after=after), limit + 1))
        return found[:limit], len(found) > limit

    def read_job(self, job_id: str) -> Job:
        """Return a job, also if only its document in storage is left. Raises JobNotFoundError."""
        try:
            return self._store.read_job(job_id)
        except JobNotFoundError:
            job = self._stored_job(job_id)
            # If there is no document either, the record may have been created again just now.
            return job or self._store.read_job(job_id)

    def needed_fences(self, batch_id: str, chunk: int, numbers: Sequence[int]) -> dict[int, set[int]]:
        """Return the fences whose outputs are needed, by item number; items that do not exist are left out.

        An item that runs again keeps its earlier outputs until it has new ones.
        """
        first, letters = numbers_of(chunk).start, self._batches.read_letters(batch_id, numbers_of(chunk))
        letter = {n: letters[n - first] for n in numbers if n - first < len(letters)}
        results = self.read_results(batch_id, chunk, list(letter))
        # Documents of jobs without outputs have the fence 0.
        return {
            n: ({results[n].fence} if n in results else set()) | (set() if letter[n] == "s" else {0}) for n in letter
        }

    def read_earlier_job(self, job_id: str) -> Job | None:
        """Return a job as it was when it last succeeded, whatever its state is now; None if it never did."""
        batch_id, number = batch_of(job_id)
        result = self.read_results(batch_id, chunk_of(number), [number]).get(number)
        if result is None or not result.audio_outputs:
            return None
        try:
            document = read_document(self._storage, output_key(job_id, result.fence, "job.json"))
        except SourceMissingError:
            return None
        return Job.from_document(document, batch_id=batch_id)

    def _chunks_with(self, batch_id: str, chunks: range, state: ItemState) -> Iterator[int]:
        """Yield the chunks that may hold items in this state; in a large batch these may be few."""
        for some in (chunks[i : i + CHUNKS_AT_ONCE] for i in range(0, len(chunks), CHUNKS_AT_ONCE)):
            letters = self._batches.read_letters(batch_id, range(numbers_of(some[0]).start, numbers_of(some[-1]).stop))
            for place, chunk in enumerate(some):
                told = set(letters[place * CHUNK_ITEMS : (place + 1) * CHUNK_ITEMS])
                # If the letter stands for no state, the job's record has it.
                if any(LETTERS.get(letter, state) is state for letter in told):
                    yield chunk

    def _stored_job(self, job_id: str) -> Job | None:
        batch_id, number = batch_of(job_id)
        letter = self._batches.read_letters(batch_id, range(number, number + 1)) if number else ""
        state = LETTERS.get(letter)
        if state not in {ItemState.SUCCEEDED, ItemState.FAILED, ItemState.CANCELED}:
            return None
        result = self.read_results(batch_id, chunk_of(number), [number]).get(number)
        try:
            expires_at = self._batches.read_batch(batch_id).expires_at
            document = read_document(self._storage, output_key(job_id, result.fence if result else 0, "job.json"))
        except (SourceMissingError, BatchNotFoundError):
            return None
        return Job.from_document(document, batch_id=batch_id, expires_at=expires_at)

    def _read_statuses(self, batch_id: str, chunk: int, numbers: Sequence[int]) -> list[ItemStatus]:
        items = {i.number: i for i in self._objects.read_items(batch_id, chunk, numbers)} if numbers else {}
        found: dict[int, ItemStatus] = {}
        for _ in range(ATTEMPTS):
            missing = [n for n in numbers if n not in found]
            if not missing:
                break
            found.update(self._read_once(batch_id, chunk, [items[n] for n in missing]))
        return [found[n] for n in numbers if n in found]

    def _read_once(self, batch_id: str, chunk: int, items: Sequence[StoredItem]) -> dict[int, ItemStatus]:
        """Return the statuses by number. An item is missing if its job's record was removed in between."""
        numbers = [item.number for item in items]
        first = min(numbers)
        letters = self._batches.read_letters(batch_id, range(first, max(numbers) + 1))
        # A letter that stands for no state means that the job's record tells it.
        states = {n: LETTERS.get(letters[n - first]) for n in numbers if n - first < len(letters)}
        with_job = [item for item in items if item.number in states and states[item.number] is None]
        settled = [(item, state) for item in items if (state := states.get(item.number)) is not None]
        return {**self._settled(batch_id, chunk, settled), **self._with_live_job(batch_id, with_job)}

    def _settled(
        self, batch_id: str, chunk: int, items: Sequence[tuple[StoredItem, ItemState]]
    ) -> dict[int, ItemStatus]:
        """Return the statuses of items whose letters tell their states."""
        ended = [item.number for item, state in items if state not in WITHOUT_JOB]
        results = self.read_results(batch_id, chunk, ended)
        found = {}
        for item, state in items:
            result = results.get(item.number)
            # An item may fail before it has a job, and may be canceled while it waits.
            has_job = result is not None and (result.attempts > 0 or state is ItemState.CANCELED)
            found[item.number] = ItemStatus(item, state, result or Result(), has_job)
        return found

    def _with_live_job(self, batch_id: str, items: Sequence[StoredItem]) -> dict[int, ItemStatus]:
        """Return the statuses of items whose jobs have records."""
        jobs = {job.id: job for job in self._store.read_jobs([job_id_of(batch_id, item.number) for item in items])}
        return {
            item.number: ItemStatus(item, ItemState(job.state.value), Result.of(job), has_job=True)
            for item in items
            if (job := jobs.get(job_id_of(batch_id, item.number)))
        }

    def read_results(self, batch_id: str, chunk: int, numbers: Sequence[int]) -> dict[int, Result]:
        """Return the results of a chunk's items, also those from before a retry or rerun."""
        if not numbers:
            return {}
        texts = self._batches.read_pending_results(batch_id, numbers)
        if len(texts) < len(numbers) and (version := self._batches.chunk_version(batch_id, chunk)):
            texts = {**self._objects.read_results(batch_id, chunk, version), **texts}
        return {n: Result.from_text(texts[n]) for n in numbers if n in texts}
