"""Batches' records made again of what storage keeps, after Redis was lost.

Owns what is believed: items as they were read, results as they were stored, and jobs' documents for what had ended but
was not stored as a result yet. All else runs again; reading goes on where the last chunk ends.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.batches.export_names import marks_of
from shared.batches.model import LETTERS, BatchRequest, job_id_of, made_by
from shared.batches.store import BatchStore
from shared.batches.stored_items import FOLDER, BatchObjects, Item, Result, document_key
from shared.errors import SourceMissingError
from shared.jobs.archive import newest_document, read_document
from shared.jobs.model import Job
from shared.storage.object_storage import ObjectStorage


@dataclass
class Restored:
    """What a batch comes to."""

    letters: list[str] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    cursor: str = ""
    audio_seconds: float = 0.0
    stored_bytes: int = 0
    fence: int = 0
    """The highest that storage knows: those given out from now on must be above it."""


class BatchRebuild:
    """One run of it. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    def __init__(self, batches: BatchStore, storage: ObjectStorage) -> None:
        self._batches = batches
        self._storage = storage
        self._objects = BatchObjects(storage)

    def run(self) -> Iterator[tuple[str, bool]]:
        """Restore all batches that storage knows and Redis does not; yield (batch id, restored)."""
        keys = (key.split("/") for key, _, _ in self._storage.list_keys(FOLDER))
        for batch_id in sorted({key[1] for key in keys if key[2:] == ["batch.json"]}):
            yield batch_id, self._restore(batch_id)

    def _restore(self, batch_id: str) -> bool:
        if self._batches.chunk_versions(batch_id) is not None:
            return False
        document = read_document(self._storage, document_key(batch_id))
        request = BatchRequest.from_json(json.dumps(document))
        restored, versions = Restored(), self._versions(batch_id)
        self._batches.put_versions(batch_id, versions)
        for chunk in range(len(self._chunks(batch_id))):
            results = self._objects.results(batch_id, chunk, versions[chunk]) if chunk in versions else {}
            items = self._objects.all_items(batch_id, chunk)
            uploads = [item.source["upload_id"] for item in items if item.source and "upload_id" in item.source]
            self._batches.hold_uploads(batch_id, uploads)
            for item in items:
                text = results.get(item.number) or (None if item.error else self._ended(batch_id, item.number))
                if text and item.number not in results:
                    self._batches.put_result(batch_id, item.number, text)
                self._add(restored, item, text)
            restored.cursor = items[-1].cursor or ""
            if request.export:
                self._batches.put_marks(batch_id, marks_of(request.export, items))
        return self._batches.restore(
            batch_id,
            request,
            letters="".join(restored.letters),
            cursor=restored.cursor,
            audio_seconds=restored.audio_seconds,
            stored_bytes=restored.stored_bytes,
            fence=restored.fence,
            counts={LETTERS[letter]: number for letter, number in Counter(restored.letters).items()},
            made=restored.made,
        )

    def _add(self, restored: Restored, item: Item, text: str | None) -> None:
        result = Result.from_text(text) if text else None
        letter = "i" if item.error else _letter(result)
        restored.letters.append(letter)
        if letter == "s" and result:
            restored.made[made_by(str((item.request or {}).get("engine")), result.engine_version)] += 1
        if result:
            restored.stored_bytes += result.stored_bytes
            restored.fence = max(restored.fence, result.fence)
            restored.audio_seconds += (result.duration_seconds or 0.0) if result.stems else 0.0

    def _ended(self, batch_id: str, number: int) -> str | None:
        """Return the result of an item whose job had ended and was not stored as a result."""
        try:
            key = newest_document(self._storage, job_id_of(batch_id, number))
            document = read_document(self._storage, key) if key else None
        except SourceMissingError:
            return None
        return Result.of(Job.from_document(document)).to_text() if document else None

    def _chunks(self, batch_id: str) -> list[str]:
        return [key for key, _, _ in self._storage.list_keys(f"{FOLDER}{batch_id}/items/")]

    def _versions(self, batch_id: str) -> dict[int, str]:
        """Return the newest version of each chunk's results."""
        newest: dict[int, tuple[float, str]] = {}
        for key, _, changed_at in self._storage.list_keys(f"{FOLDER}{batch_id}/results/"):
            chunk, _, version = key.rpartition("/")[2].removesuffix(".jsonl").partition("-")
            newest[int(chunk)] = max(newest.get(int(chunk), (0.0, "")), (changed_at, version))
        return {chunk: version for chunk, (_, version) in newest.items()}


def _letter(result: Result | None) -> str:
    if result is None:
        return "w"
    if result.error_code:
        return "f"
    return "s" if result.stems else "c"
