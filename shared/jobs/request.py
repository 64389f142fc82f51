"""What a client asked for: the source, the options, and the jobs that continue it.

options.py checks what clients send. model.py has the job with its request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from shared.audio.mixes import Mix
from shared.parsing.stored_records import read_members, schema_of

Priority = Literal["interactive", "bulk"]
"""A person waits for an interactive job; a bulk job is one of many."""

PRIORITIES: tuple[Priority, ...] = get_args(Priority)


@dataclass(frozen=True)
class SourceOutput:
    """An output of another job that a job reads, as it was when the job was submitted."""

    name: str
    key: str
    filename: str
    size_bytes: int
    sha256: str
    etag: str | None = None


@dataclass(frozen=True)
class Source:
    """The mixture of a job: an object in storage, identified by its ETag.

    `job_id` names another job whose outputs this job reads; they are kept until this job has ended. With `output` the
    object is the stem or mix of that name. With `outputs` this job mixes these outputs, and reads nothing else: the
    object is then the mixture that they were made of. `duration_seconds` is the length, if it is known for sure. While
    the other job has not made its output, `key` is empty; then the record has the rest (chains.lua).
    """

    key: str
    filename: str
    size_bytes: int
    sha256: str | None = None
    etag: str | None = None
    upload_id: str | None = None
    bucket: str | None = None
    job_id: str | None = None
    outputs: tuple[SourceOutput, ...] = ()
    output: str | None = None
    duration_seconds: float | None = None


def read_source(members: Mapping[str, Any]) -> Source:
    """Return a source from its stored members."""
    outputs = members.get("outputs") or ()
    return read_members(Source, members, outputs=tuple(read_members(SourceOutput, o) for o in outputs))


@dataclass(frozen=True)
class NextJob:
    """A job that continues another one: `output` of that job is its source."""

    job_id: str
    output: str


@dataclass(frozen=True)
class JobRequest:
    """What the client asked for. It never changes after submission."""

    source: Source
    engine: str
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stems: tuple[str, ...] | None = None
    mixes: tuple[Mix, ...] = ()
    format: str = "flac"
    format_options: Mapping[str, Any] = field(default_factory=dict)
    excerpt_start_seconds: float | None = None
    excerpt_duration_seconds: float | None = None
    audio_stream: int | None = None
    priority: str = "interactive"
    owner: str = "local"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    webhook_url: str | None = None
    request_id: str | None = None
    no_cache: bool = False
    trace: Mapping[str, str] = field(default_factory=dict)
    """The W3C headers of the span that submitted it (shared/telemetry/tracing.py); empty without a trace."""
    then: tuple[NextJob, ...] = ()
    """The jobs that were submitted with it, to continue it."""

    @property
    def schema(self) -> int:
        """The schema of the records and documents that have this request."""
        return schema_of(asdict(self))

    def to_json(self) -> str:
        """Return the request as JSON, for the record."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> JobRequest:
        """Read what `to_json` wrote, in this version or another."""
        values = json.loads(text)
        return cls.from_members(values, read_source(values["source"]))

    @classmethod
    def from_members(cls, values: Mapping[str, Any], source: Source, **members: Any) -> JobRequest:
        """Return the request with these stored members, and others as they are given."""
        stems, mixes = values.get("stems"), values.get("mixes") or ()
        return read_members(
            cls,
            values,
            source=source,
            stems=None if stems is None else tuple(stems),
            mixes=tuple(read_members(Mix, mix) for mix in mixes),
            **{"then": tuple(read_members(NextJob, job) for job in values.get("then") or ()), **members},
        )
