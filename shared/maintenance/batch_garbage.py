"""Tells the garbage collector which objects of batches to keep and which to delete.

An item's job may have no record any more, but the batch still needs its outputs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.batches.actions import BatchActions
from shared.batches.item_status import BatchItems
from shared.batches.model import STEM_CHARACTERS, batch_of, chunk_of, job_id_of
from shared.batches.store import BatchStore
from shared.batches.stored_items import FOLDER, document_key, items_key
from shared.errors import SourceMissingError
from shared.jobs.archive import read_document
from shared.jobs.store import JobStore
from shared.storage.object_storage import ObjectStorage
from shared.storage.server_clock import storage_seconds


@dataclass(frozen=True)
class BatchGarbage:
    """The stored objects of batches. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    store: JobStore
    batches: BatchStore
    changes: BatchActions
    storage: ObjectStorage
    abandoned_seconds: float

    def kept_fences(self, job_ids: Iterable[str]) -> dict[str, set[int]]:
        """Return the fences whose outputs batches need, by job id; jobs without a batch are left out."""
        by_chunk: dict[tuple[str, int], list[int]] = defaultdict(list)
        for job_id in sorted(job_ids):
            batch_id, number = batch_of(job_id)
            if number:
                by_chunk[batch_id, chunk_of(number)].append(number)
        items = BatchItems(self.store, self.batches, self.storage)
        kept: dict[str, set[int]] = {}
        for (batch_id, chunk), numbers in by_chunk.items():
            for number, fences in items.needed_fences(batch_id, chunk, numbers).items():
                kept[job_id_of(batch_id, number)] = fences
        return kept

    def remove(self, batch_id: str) -> None:
        """Delete all objects of a batch whose record was deleted, and release its uploads. It may be repeated."""
        self.changes.forget_jobs(batch_id)
        for uploads in self._uploads(batch_id):
            self.batches.release_uploads(batch_id, uploads)
        self.storage.delete_below(f"jobs/{batch_id[:STEM_CHARACTERS]}")
        self.storage.delete_below(f"{FOLDER}{batch_id}/")

    def remove_stray(self) -> int:
        """Delete old objects of batches without a record, and results that newer versions replaced."""
        before, removed = storage_seconds() - self.abandoned_seconds, 0
        versions: dict[str, dict[str, str] | None] = {}
        for key, _, changed_at in self.storage.list_keys(FOLDER):
            _, batch_id, *rest = key.split("/")
            if changed_at >= before:
                continue
            if batch_id not in versions:
                versions[batch_id] = self.batches.chunk_versions(batch_id)
            if _is_stray(rest, versions[batch_id]):
                self.storage.delete([key])
                removed += 1
        return removed

    def _uploads(self, batch_id: str) -> Iterator[list[str]]:
        try:
            manifest = read_document(self.storage, document_key(batch_id))["manifest"]
            if manifest.get("upload_id"):
                yield [manifest["upload_id"]]
        except SourceMissingError:
            pass
        first = items_key(batch_id, 0).rpartition("/")[0]
        for key, _, _ in self.storage.list_keys(f"{first}/"):
            lines = b"".join(self.storage.open(key).chunks()).splitlines()
            sources = (json.loads(line).get("source") or {} for line in lines)
            yield [s["upload_id"] for s in sources if s.get("upload_id")]


def _is_stray(path: list[str], versions: dict[str, str] | None) -> bool:
    if versions is None:
        return True
    if path[0] != "results":
        return False
    chunk, _, version = path[1].removesuffix(".jsonl").partition("-")
    return versions.get(str(int(chunk))) != version
