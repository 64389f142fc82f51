"""Reads a batch's manifest into items, chunk by chunk.

The lines come from the text of an object, or from the list of audio objects below a prefix. Each chunk is written to
storage first and then recorded in Redis. If two workers read the same chunk, Redis takes the first; a worker that
takes over continues after the last recorded chunk.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from shared.batches.export_names import with_distinct_names
from shared.batches.item_parser import ItemParser, PrefixLines
from shared.batches.manifest_format import (
    MAX_HEADER_BYTES,
    Header,
    ManifestLine,
    read_header,
    read_lines,
    split_lines,
)
from shared.batches.model import CHUNK_ITEMS, MAX_ITEMS, Batch
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects, StoredItem
from shared.errors import InputError, ManifestInvalidError, RecordsQuotaError
from shared.jobs.uploads import UploadStore
from shared.queue.engine_catalog import EngineCatalog
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage

log = structlog.get_logger(__name__)

Place = tuple[ManifestLine | None, str]
"""A line of a manifest, or None at the end of a prefix, and the cursor that follows it."""


TAKEN = "taken"
"""The member of a cursor with the number of items of the next line that are already recorded."""


class ChunkAlreadyReadError(Exception):
    """Another worker has recorded this chunk in the meantime."""


@dataclass(frozen=True)
class ManifestReader:
    """Reads for one worker process. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    settings: Settings
    uploads: UploadStore
    batches: BatchStore
    storage: ObjectStorage
    catalog: EngineCatalog

    def read_chunks(self, batch: Batch, chunks: int, proceed: Callable[[], bool]) -> None:
        """Read at most `chunks` further chunks, as long as `proceed` returns True.

        Raises StoreFullError; StorageQuotaError while the owner's quota is used up.
        """
        parser = ItemParser(self.settings, self.uploads, self.catalog, batch.request)
        try:
            lines, ahead = self._lines(batch), list[Place]()
            for _ in range(chunks):
                if not self._read_chunk(batch, parser, lines, ahead):
                    return
                batch = self.batches.read_batch(batch.id)
                if batch.is_read or not proceed():
                    return
        except (InputError, RecordsQuotaError) as error:
            # The manifest is missing, was replaced, is invalid, or exceeds its owner's quota. The batch keeps the items
            # that were read.
            log.warning("manifest cannot be read", batch=batch.id, error=error.message)
            reported = {"code": error.code, "message": error.message}
            self.batches.feeding.append_items(
                batch, cursor=batch.cursor, letters="", uploads=[], is_last=True, error=reported
            )

    def _read_chunk(self, batch: Batch, parser: ItemParser, lines: Iterator[Place], ahead: list[Place]) -> bool:
        """Read the items of a chunk, and record them. `ahead`: lines that were read and not yet recorded."""
        ahead += itertools.islice(lines, 0 if ahead else 1)
        if ahead and ahead[0][0]:
            # Items are stored, and a short line may become large ones, because of the batch's defaults.
            self.uploads.require_upload_room(batch.request.owner, 1)
        ahead += itertools.islice(lines, CHUNK_ITEMS - len(ahead))
        is_last = len(ahead) < CHUNK_ITEMS or ahead[-1][0] is None
        items, cursor, used = _fill_chunk(batch, parser, ahead)
        is_last = is_last and used == len(ahead)
        del ahead[:used]
        if batch.total + len(items) > MAX_ITEMS:
            raise ManifestInvalidError(f"The manifest makes more than {MAX_ITEMS:,} tracks.")
        marks: list[str] = []
        if batch.request.export:
            try:
                items, marks = with_distinct_names(
                    batch.request.export, items, lambda m: self._are_marks_taken(batch, m)
                )
            except ChunkAlreadyReadError:
                return False
        content = b""
        if items:
            items[-1] = replace(items[-1], cursor=cursor)
            content = b"".join(item.to_line() for item in items)
            BatchObjects(self.storage).write_items(batch.id, batch.total // CHUNK_ITEMS, content)
        return self.batches.feeding.append_items(
            batch,
            cursor=cursor,
            letters="".join("i" if item.error else "w" for item in items),
            items_bytes=len(content),
            uploads=[upload for item in items if (upload := _upload_id_of(item))],
            is_last=is_last,
            schema=max((item.schema for item in items), default=1),
            marks=marks,
        )

    def _are_marks_taken(self, batch: Batch, marks: Sequence[str]) -> list[bool]:
        taken = self.batches.feeding.taken_marks(batch, marks) if marks else []
        if taken is None:
            raise ChunkAlreadyReadError
        return taken

    def _lines(self, batch: Batch) -> Iterator[Place]:
        """Yield the lines after the batch's cursor, each with the cursor that follows it; of a prefix also the end."""
        manifest = batch.request.manifest
        cursor: Mapping[str, Any] = json.loads(batch.cursor or "{}")
        if manifest.format == "prefix":
            below = PrefixLines(self.storage, manifest, cursor)
            for line in below:
                yield line, json.dumps(below.cursor)
            # What is left out after the last song counts too.
            yield None, json.dumps(below.cursor)
            return
        offset = int(cursor.get("offset", 0))
        if offset >= manifest.size_bytes:
            return
        header = self._header(batch) if manifest.format == "csv" and offset else None
        opened = self.storage.open(
            manifest.key, bucket=manifest.bucket, etag=manifest.etag, byte_range=f"bytes={offset}-"
        )
        blocks = opened.chunks()
        try:
            for line in read_lines(
                blocks, manifest.format, offset=offset, number=int(cursor.get("line", 0)), header=header
            ):
                yield line, json.dumps({"offset": line.end, "line": line.number})
        finally:
            blocks.close()

    def _header(self, batch: Batch) -> Header:
        manifest = batch.request.manifest
        opened = self.storage.open(
            manifest.key, bucket=manifest.bucket, etag=manifest.etag, byte_range=f"bytes=0-{MAX_HEADER_BYTES - 1}"
        )
        for text, _, _ in split_lines(opened.chunks(), any_bytes=False):
            if text is None or text.strip():
                return read_header(text or "")
        raise ManifestInvalidError("The manifest's header is no longer there.")


def _fill_chunk(batch: Batch, parser: ItemParser, places: Sequence[Place]) -> tuple[list[StoredItem], str, int]:
    """Return the next chunk's items, the cursor behind them, and how many of the places were used up.

    A line may become several items. If the chunk ends among them, the cursor stands before the line and tells how many
    were taken.
    """
    taken = int(json.loads(batch.cursor or "{}").get(TAKEN, 0))
    items, cursor = list[StoredItem](), batch.cursor
    parsed = parser.parse_each([line for line, _ in places if line], batch.total + 1 - taken)
    for used, (line, behind) in enumerate(places):
        if line:
            more = next(parsed)[taken:]
            room = CHUNK_ITEMS - len(items)
            items += more[:room]
            if len(more) > room:
                return items, json.dumps({**json.loads(cursor or "{}"), TAKEN: taken + room}), used
        taken, cursor = 0, behind
        if len(items) == CHUNK_ITEMS:
            return items, cursor, used + 1
    return items, cursor, len(places)


def _upload_id_of(item: StoredItem) -> str | None:
    return (item.source or {}).get("upload_id")
