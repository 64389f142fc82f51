"""Reruns a batch: finds the items that another version of their engine made, and puts them back into the queue.

It checks a few chunks at a time, since the results of a catalog are read from storage. The batch's record holds the
next chunk, so another worker can continue from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.batches.actions import BatchActions
from shared.batches.item_status import BatchItems
from shared.batches.model import CHUNK_ITEMS, Batch, ItemState, chunk_of, made_by, numbers_of
from shared.batches.store import BatchStore

CHECK_CHUNKS = 10
"""Chunks that are checked before items are fed again. Raising it can leave slots idle if songs are short."""


@dataclass(frozen=True)
class BatchReruns:
    """Works for one worker process. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    batches: BatchStore
    changes: BatchActions
    items: BatchItems

    def check_chunks(self, batch: Batch, proceed: Callable[[], bool]) -> bool:
        """Check some further chunks, as long as `proceed` returns True; return whether more can be checked at once."""
        for _ in range(CHECK_CHUNKS):
            if batch.rerun is None or not proceed():
                return False
            chunk = chunk_of(batch.rerun.next_number)
            outdated = self._find_outdated(batch, chunk, batch.rerun.versions)
            if not set(outdated) <= self._compacted_numbers(batch.id, chunk):
                # The record of an ended job must become a result first; otherwise its stems would be lost.
                return False
            next_number = (chunk + 1) * CHUNK_ITEMS + 1
            if not self.changes.advance_rerun(batch, next_number=next_number, outdated=outdated):
                return False
            batch = self.batches.read_batch(batch.id)
        return batch.rerun is not None

    def _find_outdated(self, batch: Batch, chunk: int, versions: Mapping[str, str]) -> dict[int, str]:
        """Return the numbers of items that another version made, each with the engine and version that made it."""
        found = {}
        for status in self.items.read_chunk(batch, chunk, state=ItemState.SUCCEEDED):
            engine, version = str((status.item.request or {}).get("engine")), status.result.engine_version
            if engine in versions and versions[engine] != version:
                found[status.item.number] = made_by(engine, version)
        return found

    def _compacted_numbers(self, batch_id: str, chunk: int) -> set[int]:
        """Return the items without a job record that must still become a result: their letters are lower case."""
        letters = self.batches.read_letters(batch_id, numbers_of(chunk))
        return {numbers_of(chunk).start + i for i, letter in enumerate(letters) if letter == letter.lower()}
