"""The batch: many tracks submitted together, its life cycle, and the states of its items.

Owns the domain values and how a batch's jobs are named; owns no Redis (store.py) and no storage
(stored_items.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from shared.stored_records import check_schema, read_members

MAX_ITEMS = 10_000_000
"""Items of one batch at most; each takes one byte of Redis for as long as the batch is kept."""

CHUNK_ITEMS = 500
"""Items that lie in storage as one object. Raising it makes fewer objects, and each look at one item dearer."""


class BatchState(StrEnum):
    """Where a batch stands."""

    READING = "reading"
    """Entered on submission and left once its whole manifest is read; items run already meanwhile.
    A crash means nothing: reading goes on where the last chunk was taken over."""

    RUNNING = "running"
    """Entered when all is read, and again when items are to be done again. Left with the last item's end."""

    ENDED = "ended"
    """Entered with the end of the last item, however each ended. Left when items are to be done again."""

    CANCELED = "canceled"
    """Entered by a cancel, at once. Left when items are to be done again."""


class ItemState(StrEnum):
    """Where an item stands; from `queued` on there is a job of it, whose states these are."""

    WAITING = "waiting"
    """No job was made of it yet: its turn is not near."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    INVALID = "invalid"
    """Its line of the manifest cannot be read, or asks for what there is not; there will be no job of it."""


LETTERS: Mapping[str, ItemState] = {
    "w": ItemState.WAITING,
    "r": ItemState.WAITING,
    "s": ItemState.SUCCEEDED,
    "f": ItemState.FAILED,
    "c": ItemState.CANCELED,
    "i": ItemState.INVALID,
}
"""Items in Redis (lua/keys.lua); `r` has a result that is to be replaced; `q`, and capitals, mean that the job's record
there knows more."""


@dataclass(frozen=True)
class Manifest:
    """Where the list of a batch's tracks lies: an object of lines, or all the audio below a prefix."""

    bucket: str | None
    key: str
    format: str
    """`jsonl`, `csv`, or `prefix`."""
    size_bytes: int = 0
    etag: str | None = None
    upload_id: str | None = None


@dataclass(frozen=True)
class Export:
    """Where copies of a batch's stems go."""

    bucket: str
    prefix: str
    template: str


@dataclass(frozen=True)
class BatchRequest:
    """What was asked for. Never changes after submission."""

    manifest: Manifest
    owner: str
    name: str | None = None
    priority: str = "bulk"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    webhook_url: str | None = None
    export: Export | None = None
    request_id: str | None = None

    def to_json(self) -> str:
        """Return the request as JSON, for the record."""
        return json.dumps(asdict(self), separators=(",", ":"))

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
    """How far a batch was looked through for items that other versions of their engines made than those named."""

    next_number: int
    versions_json: str
    """As it was written down, by which a rerun is known from one that followed it."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each engine, by its name, that is not to be replaced."""
        versions: dict[str, str] = json.loads(self.versions_json)
        return versions


@dataclass(frozen=True)
class Batch:
    """A batch as its record tells it, read at one moment. Times are seconds since 1970 by Redis's clock."""

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
    """Whether items that have a result may be getting another."""
    is_changing: bool
    """Whether a cancel or a retry still goes through its items, part by part."""
    audio_seconds: float
    rerun: Rerun | None = None
    """What of it is looked for, while it is looked through for what other versions made."""
    ended_at: float | None = None
    expires_at: float | None = None
    error: Mapping[str, Any] | None = None

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
"""A batch's id, and those of its jobs, are the same 24 random digits and then eight for the item's number, from 1; so
that feeding an item twice makes one job, and a job's batch is known by the job's id."""


def batch_id_from(random_id: str) -> str:
    """Return a batch's id made of a random one."""
    return random_id[:STEM_CHARACTERS] + NO_ITEM


def job_id_of(batch_id: str, number: int) -> str:
    """Return the id of an item's job."""
    return f"{batch_id[:STEM_CHARACTERS]}{number:08x}"


def batch_of(job_id: str) -> tuple[str, int]:
    """Return the batch that a job would belong to by its id, and the item's number; there may be no such batch.

    The number is 0 for what is no job's id at all.
    """
    number = job_id[STEM_CHARACTERS:]
    return job_id[:STEM_CHARACTERS] + NO_ITEM, int(number, 16) if set(number) <= HEX_DIGITS and number else 0


def is_batch_id(some_id: str) -> bool:
    """Return whether an id is a batch's; one of four billion other ids looks like one."""
    return some_id.endswith(NO_ITEM)


def made_by(engine: str, version: str | None) -> str:
    """Return what an item was made by, as a batch's record counts it (lua/keys.lua)."""
    return f"{engine}@{version or ''}"


def chunk_of(number: int) -> int:
    """Return the chunk that an item lies in."""
    return (number - 1) // CHUNK_ITEMS


def numbers_of(chunk: int) -> range:
    """Return the numbers of a chunk's items; the last chunk may hold fewer."""
    return range(chunk * CHUNK_ITEMS + 1, (chunk + 1) * CHUNK_ITEMS + 1)
