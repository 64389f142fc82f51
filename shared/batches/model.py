"""Defines the batch: its states, the states of its items, its request, and the ids of its jobs.

store.py keeps the records in Redis, stored_items.py the items and results in storage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from shared.batches.left_out import LeftOutObjects
from shared.parsing.stored_records import check_schema, read_members, schema_of

MAX_ITEMS = 10_000_000
"""The largest number of items in a batch. Each item takes one byte of Redis while the batch is kept."""

CHUNK_ITEMS = 500
"""Items per object in storage. Raising it makes fewer objects, and reading a single item slower."""


class BatchState(StrEnum):
    """The state of a batch."""

    READING = "reading"
    """Entered on submission. Left when the whole manifest is read; its first items already run by then.
    After a crash, reading resumes after the last stored chunk."""

    RUNNING = "running"
    """Entered when the manifest is read, and on a retry or rerun. Left when the last item ends."""

    ENDED = "ended"
    """Entered when the last item ends, whatever its state. Left by a retry or rerun."""

    CANCELED = "canceled"
    """Entered by a cancel, at once. Left by a retry or rerun."""


class ItemState(StrEnum):
    """The state of an item. From `queued` on, the item has a job, and the state is the job's state."""

    WAITING = "waiting"
    """The item has no job yet."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    INVALID = "invalid"
    """Its line of the manifest is invalid; the item will have no job."""


LETTERS: Mapping[str, ItemState] = {
    "w": ItemState.WAITING,
    "r": ItemState.WAITING,
    "s": ItemState.SUCCEEDED,
    "f": ItemState.FAILED,
    "c": ItemState.CANCELED,
    "i": ItemState.INVALID,
}
"""The letters that stand for items in Redis (lua/lib/keys.lua). `r` waits for a rerun and has an earlier result. `q`
and capital letters are not listed: the state is then in the job's record."""


@dataclass(frozen=True)
class Manifest:
    """The place of a batch's list of tracks: an object with lines, or the prefix of all objects that may be audio."""

    bucket: str | None
    key: str
    format: str
    """`jsonl`, `csv`, or `prefix`."""
    size_bytes: int = 0
    etag: str | None = None
    upload_id: str | None = None

    @property
    def list_bytes(self) -> int:
        """The size of the list if it came with the request: it is stored for the batch alone."""
        return self.size_bytes if self.bucket is None else 0


@dataclass(frozen=True)
class Export:
    """The place to which a batch's stems are copied."""

    bucket: str
    prefix: str
    template: str


@dataclass(frozen=True)
class BatchRequest:
    """What the client asked for. It never changes after submission."""

    manifest: Manifest
    owner: str
    name: str | None = None
    priority: str = "bulk"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    webhook_url: str | None = None
    export: Export | None = None
    request_id: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    """The W3C headers of the span that submitted it (shared/telemetry/tracing.py); empty without a trace."""

    @property
    def schema(self) -> int:
        """The schema of the batch's record and document, as far as the defaults of its items decide it."""
        return schema_of(self.defaults)

    def to_json(self) -> str:
        """Return the request as JSON, for the record."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def to_document(self) -> str:
        """Return the request as JSON, for the storage."""
        return json.dumps({"schema": self.schema, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> BatchRequest:
        """Read what `to_json` wrote, in this version or another."""
        values = json.loads(text)
        export = values.get("export")
        return read_members(
            cls,
            values,
            manifest=read_members(Manifest, values["manifest"]),
            export=read_members(Export, export) if export else None,
        )


@dataclass(frozen=True)
class Rerun:
    """The progress of a rerun, which looks for items made by other engine versions than those given."""

    next_number: int
    versions_json: str
    """The versions as stored; a later rerun is recognised by a different text."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each engine whose results are kept, by the engine's name."""
        versions: dict[str, str] = json.loads(self.versions_json)
        return versions


@dataclass(frozen=True)
class Batch:
    """A batch's record as it was at one moment. Times are seconds since 1970 by Redis's clock."""

    id: str
    state: BatchState
    request: BatchRequest
    version: int
    created_at: float
    total: int
    counts: Mapping[ItemState, int]
    cursor: str
    is_read: bool
    is_rerun: bool
    """Whether items with a result may be running again."""
    is_changing: bool
    """Whether a cancel or a retry has not reached all items yet."""
    audio_seconds: float
    rerun: Rerun | None = None
    """The rerun that is in progress, or None."""
    ended_at: float | None = None
    expires_at: float | None = None
    error: Mapping[str, Any] | None = None

    @property
    def left_out(self) -> LeftOutObjects:
        """What was left out of the batch so far, if it is read from a prefix."""
        is_prefix = self.request.manifest.format == "prefix"
        return LeftOutObjects.from_json(json.loads(self.cursor or "{}").get("left_out") if is_prefix else None)

    @classmethod
    def from_record(cls, batch_id: str, record: Mapping[str, str]) -> Batch:
        """Read the fields of a batch's hash in Redis. Raises RecordTooNewError."""
        check_schema(record, f"the record of batch {batch_id}")
        return cls(
            id=batch_id,
            state=BatchState(record["state"]),
            request=BatchRequest.from_json(record["request"]),
            version=int(record["version"]),
            created_at=int(record["created_ms"]) / 1000,
            total=int(record["total"]),
            counts={state: int(record.get(f"n_{state}", 0)) for state in ItemState},
            cursor=record["cursor"],
            is_read=record.get("read") == "1",
            is_rerun=record.get("rerun") == "1",
            is_changing="canceling" in record or "retrying" in record,
            rerun=Rerun(int(record["rerunning"]), record["versions"]) if "rerunning" in record else None,
            audio_seconds=int(record.get("audio_ms", 0)) / 1000,
            ended_at=int(record["ended_ms"]) / 1000 if "ended_ms" in record else None,
            expires_at=int(record["expires_ms"]) / 1000 if "expires_ms" in record else None,
            error=json.loads(record.get("error") or "null"),
        )


HEX_DIGITS = frozenset("0123456789abcdef")

STEM_CHARACTERS, NO_ITEM = 24, "0" * 8
"""A batch's id and the ids of its jobs begin with the same 24 random digits; the last eight are the item's number, from
1, and zeros for the batch. So submitting an item twice makes one job, and a job's id tells its batch."""


def batch_id_from(random_id: str) -> str:
    """Return a batch's id, made from a random id."""
    return random_id[:STEM_CHARACTERS] + NO_ITEM


def job_id_of(batch_id: str, number: int) -> str:
    """Return the id of an item's job."""
    return f"{batch_id[:STEM_CHARACTERS]}{number:08x}"


def batch_of(job_id: str) -> tuple[str, int]:
    """Return the batch that a job belongs to according to its id, and the item's number. The batch may not exist.

    The number is 0 if the id cannot be that of a job.
    """
    number = job_id[STEM_CHARACTERS:]
    return job_id[:STEM_CHARACTERS] + NO_ITEM, int(number, 16) if set(number) <= HEX_DIGITS and number else 0


def is_batch_id(some_id: str) -> bool:
    """Return whether an id has the form of a batch's id; so does one in four billion other ids."""
    return some_id.endswith(NO_ITEM)


def made_by(engine: str, version: str | None) -> str:
    """Return engine and version in the form in which a batch's record counts its items (lua/lib/keys.lua)."""
    return f"{engine}@{version or ''}"


def chunk_of(number: int) -> int:
    """Return the chunk that contains an item."""
    return (number - 1) // CHUNK_ITEMS


def numbers_of(chunk: int) -> range:
    """Return the numbers of a chunk's items; the last chunk may hold fewer."""
    return range(chunk * CHUNK_ITEMS + 1, (chunk + 1) * CHUNK_ITEMS + 1)
