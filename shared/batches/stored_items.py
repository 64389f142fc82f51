"""Reads and writes a batch's items and results in storage, in chunks.

    batches/<id>/batch.json                        the request
    batches/<id>/manifest.jsonl                    the list of items, if it came with the request
    batches/<id>/items/<chunk>.jsonl               the items of a chunk, one per line, in the manifest's order
    batches/<id>/results/<chunk>-<version>.jsonl   their results; garbage unless the batch's record names the version

Everything else about an ended job is in its job.json (shared/jobs/archive.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

from shared.batches.model import numbers_of
from shared.jobs.model import Job, JobState, separated_seconds
from shared.parsing.stored_records import read_members, schema_of
from shared.storage.object_storage import ObjectStorage

LINES = "application/jsonl"

FOLDER = "batches/"

CACHED_CHUNKS = 8
"""Chunks that a process caches: about 100 kB each, and 10 MB if each item has the largest metadata."""


@dataclass(frozen=True)
class StoredItem:
    """One track of a batch, as its line of the manifest describes it."""

    number: int
    line: int
    track: str
    source: Mapping[str, Any] | None = None
    """Members of a `Source`. A missing size and ETag are looked up when the item's job is created. With `item` instead:
    the source is the `output` of that item's job."""
    request: Mapping[str, Any] | None = None
    """Members of a `JobRequest`, without the source and the members that the whole batch shares. `then` names items."""
    error: Mapping[str, str] | None = None
    """Why the line is invalid; None if it is valid."""
    cursor: str | None = None
    """For the last item of a chunk: where reading of the manifest resumes."""
    export_track: str | None = None
    """The name for its exported stems, if an earlier track already uses its own name."""

    @property
    def schema(self) -> int:
        """The schema that the record of its batch needs, so that older processes make no other job of the item."""
        return schema_of({**(self.request or {}), "source": self.source})

    def to_line(self) -> bytes:
        """Return the item as a line."""
        members = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(members, separators=(",", ":")).encode() + b"\n"


MAX_NOTES, MAX_NOTE_CHARACTERS = 5, 300


@dataclass(frozen=True)
class Result:
    """How an item ended. It is kept short, because it is in Redis until its chunk is in storage."""

    attempts: int = 0
    fence: int = 0
    duration_seconds: float | None = None
    seconds: float | None = None
    input_sha256: str | None = None
    engine_version: str | None = None
    stems: tuple[str, ...] = ()
    cached: bool = False
    stored_bytes: int = 0
    error_code: str | None = None
    error_message: str | None = None
    tempo_bpm: float | None = None
    key: str | None = None
    mixes: tuple[str, ...] | None = None
    """None if there are none, so that the many results without mixes stay short."""
    notes: tuple[str, ...] | None = None
    """The first notes of the report, each cut to a length that many results can have; None if there are none."""

    @property
    def audio_outputs(self) -> tuple[str, ...]:
        """The names of the stems and of the mixes, which are never the same."""
        return (*self.stems, *(self.mixes or ()))

    @property
    def separated_seconds(self) -> float:
        """How many seconds of audio were separated; 0 without stems and mixes."""
        return (self.duration_seconds or 0.0) if self.audio_outputs else 0.0

    def to_text(self) -> str:
        """Return the values as a JSON list, in the order of the fields. New fields must come last."""
        values = [getattr(self, f.name) for f in fields(self)]
        while values and values[-1] is None:
            values.pop()
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Result:
        """Read what `to_text` wrote."""
        values = dict(zip((f.name for f in fields(cls)), json.loads(text), strict=False))
        lists = {name: tuple(values[name]) if values.get(name) else None for name in ("mixes", "notes")}
        return read_members(cls, values, stems=tuple(values.get("stems", ())), **lists)

    @classmethod
    def of(cls, job: Job) -> Result:
        """Return the result of an ended job."""
        report, probed, error = job.report or {}, job.probed or {}, job.error or {}
        music = report.get("music") or {}
        succeeded = job.state is JobState.SUCCEEDED
        return cls(
            attempts=job.attempt,
            fence=job.fence if succeeded else 0,
            duration_seconds=separated_seconds(job.outputs) or probed.get("duration_seconds"),
            seconds=(report.get("seconds") or {}).get("total"),
            input_sha256=job.request.source.sha256 or probed.get("sha256"),
            engine_version=report.get("engine_version"),
            stems=tuple(o.name for o in job.outputs if o.kind == "stem"),
            cached=job.cached,
            stored_bytes=sum(o.size_bytes for o in job.outputs),
            error_code=error.get("code"),
            error_message=error.get("message"),
            tempo_bpm=music.get("tempo_bpm"),
            key=music.get("key"),
            mixes=tuple(o.name for o in job.outputs if o.kind == "mix") or None,
            notes=tuple(note[:MAX_NOTE_CHARACTERS] for note in (report.get("notes") or ())[:MAX_NOTES]) or None,
        )


def items_key(batch_id: str, chunk: int) -> str:
    """Return the key of a chunk's items."""
    return f"{FOLDER}{batch_id}/items/{chunk:06d}.jsonl"


def results_key(batch_id: str, chunk: int, version: str) -> str:
    """Return the key of a version of a chunk's results."""
    return f"{FOLDER}{batch_id}/results/{chunk:06d}-{version}.jsonl"


def manifest_key(batch_id: str) -> str:
    """Return the key of the list that came with a batch's request."""
    return f"{FOLDER}{batch_id}/manifest.jsonl"


def document_key(batch_id: str) -> str:
    """Return the key of a batch's request, from which it is restored if Redis is lost."""
    return f"{FOLDER}{batch_id}/batch.json"


class BatchObjects:
    """Reads and writes chunks. Every method may raise StorageUnavailableError, SourceMissingError."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self._lines = lru_cache(maxsize=CACHED_CHUNKS)(self._read_lines)

    def write_items(self, batch_id: str, chunk: int, content: bytes) -> None:
        """Store the lines of a chunk's items."""
        self._storage.put_bytes(content, items_key(batch_id, chunk), LINES)

    def read_items(self, batch_id: str, chunk: int, numbers: Sequence[int]) -> list[StoredItem]:
        """Return some of a chunk's items, in order. Stored items never change, so they are cached."""
        lines = self._lines(items_key(batch_id, chunk))
        first = numbers_of(chunk).start
        return [read_members(StoredItem, json.loads(lines[n - first])) for n in numbers]

    def read_all_items(self, batch_id: str, chunk: int) -> list[StoredItem]:
        """Return all of a chunk's items."""
        return [read_members(StoredItem, json.loads(line)) for line in self._read_lines(items_key(batch_id, chunk))]

    def write_results(self, batch_id: str, chunk: int, version: str, results: Mapping[int, str]) -> None:
        """Store a version of a chunk's results."""
        content = b"".join(f"{number} {text}\n".encode() for number, text in sorted(results.items()))
        self._storage.put_bytes(content, results_key(batch_id, chunk, version), LINES)

    def read_results(self, batch_id: str, chunk: int, version: str) -> dict[int, str]:
        """Return a version of a chunk's results, as text."""
        pairs = (line.decode().partition(" ") for line in self._lines(results_key(batch_id, chunk, version)))
        return {int(number): text for number, _, text in pairs}

    def _read_lines(self, key: str) -> tuple[bytes, ...]:
        return tuple(b"".join(self._storage.open(key).chunks()).splitlines())
