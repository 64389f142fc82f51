"""Looks through a batch for items that another version of their engine made, and has them done again.

Owns what counts as another version's. A few chunks at a time, since a catalog's results are read from storage: how far
it is stands in the batch's record, and whoever takes over looks on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.batches.actions import BatchActions
from shared.batches.item_status import BatchItems
from shared.batches.model import CHUNK_ITEMS, Batch, ItemState, chunk_of, made_by, numbers_of
from shared.batches.store import BatchStore

LOOK_CHUNKS = 10
"""Chunks looked through in a row, before items are fed again; raising it lets slots run dry where songs are short."""


@dataclass(frozen=True)
class BatchReruns:
    """Works for one worker process. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    batches: BatchStore
    changes: BatchActions
    items: BatchItems

    def look_on(self, batch: Batch, proceed: Callable[[], bool]) -> bool:
        """Look through some chunks, while `proceed` says so; True when there are more to be looked at at once."""
        for _ in range(LOOK_CHUNKS):
            if batch.rerun is None or not proceed():
                return False
            chunk = chunk_of(batch.rerun.next_number)
            outdated = self._outdated(batch, chunk, batch.rerun.versions)
            if not set(outdated) <= self._settled(batch.id, chunk):
                # A job's record becomes a result first, or its stems would be lost with it.
                return False
            next_number = (chunk + 1) * CHUNK_ITEMS + 1
            if not self.changes.advance_rerun(batch, next_number=next_number, outdated=outdated):
                return False
            batch = self.batches.read(batch.id)
        return batch.rerun is not None

    def _outdated(self, batch: Batch, chunk: int, versions: Mapping[str, str]) -> dict[int, str]:
        """Return the items that another version made, and by what each was made."""
        found = {}
        for standing in self.items.read_chunk(batch, chunk, state=ItemState.SUCCEEDED):
            engine, version = str((standing.item.request or {}).get("engine")), standing.result.engine_version
            if engine in versions and versions[engine] != version:
                found[standing.item.number] = made_by(engine, version)
        return found

    def _settled(self, batch_id: str, chunk: int) -> set[int]:
        letters = self.batches.letters(batch_id, numbers_of(chunk))
        return {numbers_of(chunk).start + i for i, letter in enumerate(letters) if letter == letter.lower()}
