"""Restores the records of batches from storage, after Redis was lost.

Items and results come from the batch's stored chunks. Items without a stored result take the result from their job's
document, if there is one; all others run again. Reading of the manifest resumes where the last stored chunk ends.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.batches.export_names import marks_of
from shared.batches.model import LETTERS, BatchRequest, ItemState, job_id_of, made_by
from shared.batches.store import BatchStore
from shared.batches.stored_items import FOLDER, BatchObjects, Result, StoredItem, document_key
from shared.errors import SourceMissingError
from shared.jobs.archive import newest_document, read_document
from shared.jobs.model import Job
from shared.storage.object_storage import ObjectStorage

HOLDER = "rebuild"
"""Holds the locks of batches meanwhile. Another run of the command takes them over."""


@dataclass
class RestoredBatch:
    """What a batch's record is rebuilt from; items are added in their order."""

    letters: list[str] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    """Succeeded items by the engine and version that made them."""
    schema: int = 1
    """The highest that the items need."""
    cursor: str = ""
    audio_seconds: float = 0.0
    stored_bytes: int = 0
    """Of outputs, items, and the list that came with the request."""
    fence: int = 0
    """The highest fence in storage; new fences must be higher."""

    def add(self, item: StoredItem, result: Result | None) -> None:
        """Add an item and its result, if it has one."""
        letter = "i" if item.error else _letter(result)
        self.letters.append(letter)
        self.schema = max(self.schema, item.schema)
        if result is None:
            return
        if letter == "s":
            self.made[made_by(str((item.request or {}).get("engine")), result.engine_version)] += 1
        self.stored_bytes += result.stored_bytes
        self.fence = max(self.fence, result.fence)
        self.audio_seconds += result.separated_seconds

    def counts(self) -> dict[ItemState, int]:
        """Return the number of items in each state."""
        counts: Counter[ItemState] = Counter()
        for letter, number in Counter(self.letters).items():
            counts[LETTERS[letter]] += number
        return dict(counts)


class BatchRebuild:
    """Restores batches. Every method may raise StoreUnavailableError, StorageUnavailableError, RecordTooNewError."""

    def __init__(self, batches: BatchStore, storage: ObjectStorage) -> None:
        self._batches = batches
        self._storage = storage
        self._objects = BatchObjects(storage)

    def restore_all(self) -> Iterator[tuple[str, bool]]:
        """Restore all batches that are in storage and not in Redis; yield (batch id, restored)."""
        for batch_id in self.stored_ids():
            yield batch_id, self._restore(batch_id)

    def stored_ids(self) -> list[str]:
        """Return the ids of all batches that are in storage."""
        keys = (key.split("/") for key, _, _ in self._storage.list_keys(FOLDER))
        return sorted({key[1] for key in keys if key[2:] == ["batch.json"]})

    def hold(self, batch_ids: Iterable[str], seconds: float) -> None:
        """Keep workers from feeding these batches for some seconds, or let them (0).

        Items may read outputs of single jobs and of other batches. Until these are restored, they do not exist.
        """
        for batch_id in batch_ids:
            self._batches.feeding.lock(batch_id, HOLDER, seconds)

    def _restore(self, batch_id: str) -> bool:
        if self._batches.chunk_versions(batch_id) is not None:
            return False
        request = BatchRequest.from_json(json.dumps(read_document(self._storage, document_key(batch_id))))
        versions = self._versions(batch_id)
        self._batches.put_versions(batch_id, versions)
        chunk_bytes = self._chunk_bytes(batch_id)
        restored = RestoredBatch(stored_bytes=request.manifest.list_bytes + sum(chunk_bytes))
        for chunk in range(len(chunk_bytes)):
            items = self._objects.read_all_items(batch_id, chunk)
            self._hold_uploads(batch_id, items)
            if request.export:
                self._batches.put_marks(batch_id, marks_of(request.export, items))
            stored = self._objects.read_results(batch_id, chunk, versions[chunk]) if chunk in versions else {}
            for item in items:
                restored.add(item, self._result_of(batch_id, item, stored))
            restored.cursor = items[-1].cursor or ""
        return self._batches.restore(
            batch_id,
            request,
            schema=max(request.schema, restored.schema),
            letters="".join(restored.letters),
            cursor=restored.cursor,
            audio_seconds=restored.audio_seconds,
            stored_bytes=restored.stored_bytes,
            fence=restored.fence,
            counts=restored.counts(),
            made=restored.made,
        )

    def _hold_uploads(self, batch_id: str, items: Sequence[StoredItem]) -> None:
        uploads = [item.source["upload_id"] for item in items if item.source and "upload_id" in item.source]
        self._batches.hold_uploads(batch_id, uploads)

    def _result_of(self, batch_id: str, item: StoredItem, stored: Mapping[int, str]) -> Result | None:
        """Return an item's result: the stored one, or that of its ended job, which is then put into Redis."""
        text = stored.get(item.number)
        if text is None and not item.error:
            text = self._result_of_job(batch_id, item.number)
            if text is not None:
                self._batches.put_result(batch_id, item.number, text)
        return Result.from_text(text) if text else None

    def _result_of_job(self, batch_id: str, number: int) -> str | None:
        """Return the result of an item whose job ended, but whose result was not stored yet."""
        try:
            key = newest_document(self._storage, job_id_of(batch_id, number))
            document = read_document(self._storage, key) if key else None
        except SourceMissingError:
            return None
        return Result.of(Job.from_document(document)).to_text() if document else None

    def _chunk_bytes(self, batch_id: str) -> list[int]:
        """Return the size of each chunk of items."""
        return [size for _, size, _ in self._storage.list_keys(f"{FOLDER}{batch_id}/items/")]

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
    return "s" if result.audio_outputs else "c"
