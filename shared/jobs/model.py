"""The job and its life cycle: the states, who moves a job between them, and what its record holds.

Owns the domain values; owns no Redis (store.py writes them) and no JSON for clients (api/contract/job_json.py
renders them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from shared.stored_records import check_schema, read_members

REMEMBERED = 256
"""Requests that a process need not read again: they never change, and a running job's record changes often."""


class JobState(StrEnum):
    """Where a job stands; `stage` and `progress` say where a running one is."""

    QUEUED = "queued"
    """Entered on submit, on retry, and when a claim is handed back or lost. Left by a claim or a cancel.
    A crash means nothing: the record stands in line, and lost messages are published again."""

    RUNNING = "running"
    """Entered by a worker's claim, which holds a lease and a fence. Left by that claim's own end, by a
    cancel, or by the rescuer once the lease has run out. A crash ends the heartbeat, and so the lease."""

    SUCCEEDED = "succeeded"
    """Entered by one atomic write that carries the list of outputs and the claim's fence. Final."""

    FAILED = "failed"
    """Entered when the input is at fault, retries are used up, or workers were lost too often.
    Left only by a retry by hand."""

    CANCELED = "canceled"
    """Entered by a cancel, at once, whatever the worker does. Left only by a retry by hand."""


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELED: frozenset({JobState.QUEUED}),
}

TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})

CLASSES = ("interactive", "bulk")
"""The two classes of jobs: somebody waits for the first, nobody in particular for the second."""

STAGES = ("fetch", "probe", "decode", "separate", "encode", "illustrate", "upload")
"""The pipeline's steps in their order; `stage` of a running job is one of them."""


@dataclass(frozen=True)
class Source:
    """The mixture of a job: an object in storage, pinned by its ETag."""

    key: str
    filename: str
    size_bytes: int
    sha256: str | None = None
    etag: str | None = None
    upload_id: str | None = None
    bucket: str | None = None


@dataclass(frozen=True)
class JobRequest:
    """What was asked for. Never changes after submission; read by the worker word for word."""

    source: Source
    engine: str
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stems: tuple[str, ...] | None = None
    format: str = "flac"
    format_options: Mapping[str, Any] = field(default_factory=dict)
    excerpt_start_seconds: float | None = None
    excerpt_duration_seconds: float | None = None
    priority: str = "interactive"
    owner: str = "local"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    webhook_url: str | None = None
    request_id: str | None = None
    no_cache: bool = False

    def to_json(self) -> str:
        """Return the request as JSON, for the record."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> JobRequest:
        """Read what `to_json` wrote, in this version or another."""
        values = json.loads(text)
        stems = values.get("stems")
        return read_members(
            cls,
            values,
            source=read_members(Source, values["source"]),
            stems=None if stems is None else tuple(stems),
        )


STORAGE_ETAG = "storage_etag"
"""Where among an output's details its ETag is: workers and APIs of earlier versions, which may read the record during
an upgrade, know no other place."""


@dataclass(frozen=True)
class Output:
    """One object that a job made: a stem, a picture, a waveform, the report."""

    name: str
    kind: str
    key: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def etag(self) -> str | None:
        """What the storage called this content; None for outputs of earlier versions."""
        return self.details.get(STORAGE_ETAG)

    def stored(self, key: str, etag: str) -> Output:
        """Return it as it lies in storage now."""
        return replace(self, key=key, details={**self.details, STORAGE_ETAG: etag})


@dataclass(frozen=True)
class Job:
    """A job as its record tells it, read at one moment. Times are seconds since 1970 by Redis's clock.

    Two records of an id never have the same version, be it that the job was removed and made again between them.
    """

    id: str
    state: JobState
    request: JobRequest
    version: int
    created_at: float
    stage: str | None = None
    progress: float = 0.0
    attempt: int = 0
    losses: int = 0
    fence: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    outputs: tuple[Output, ...] = ()
    probed: Mapping[str, Any] | None = None
    report: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    attempt_errors: tuple[Mapping[str, Any], ...] = ()
    queue_position: int | None = None
    eta_seconds: float | None = None
    waiting_because: str | None = None
    """What the storage is said to lack, where the job waits for it."""
    cached: bool = False
    batch_id: str | None = None
    contents: tuple[str, ...] = ()
    """Names of what it makes, by which others may ask for the same; the first is looked for."""

    def output(self, kind: str, name: str) -> Output | None:
        """Return the output of this kind and name, or None."""
        return next((o for o in self.outputs if o.kind == kind and o.name == name), None)

    def standing(
        self, queue_position: int | None, eta_seconds: float | None, waiting_because: str | None = None
    ) -> Job:
        """Return the job at this place in line, with so much time left: what moves while its record stays."""
        moved = object.__new__(Job)
        # What `dataclasses.replace` does, but for its way through every field, which polls would feel.
        moved.__dict__.update(
            self.__dict__, queue_position=queue_position, eta_seconds=eta_seconds, waiting_because=waiting_because
        )
        return moved

    @classmethod
    def from_record(cls, job_id: str, record: Mapping[str, str]) -> Job:
        """Read the fields of a job's hash in Redis. Raises RecordTooNewError."""
        check_schema(record, f"the record of job {job_id}")
        return cls(
            id=job_id,
            state=JobState(record["state"]),
            request=_read_request(record["request"]),
            version=int(record.get("version", 0)),
            created_at=_seconds(record["created_ms"]) or 0.0,
            stage=record.get("stage") or None,
            progress=float(record.get("progress", 0)),
            attempt=int(record.get("attempt", 0)),
            losses=int(record.get("losses", 0)),
            fence=int(record.get("fence", 0)),
            started_at=_seconds(record.get("started_ms")),
            finished_at=_seconds(record.get("finished_ms")),
            expires_at=_seconds(record.get("expires_ms")),
            outputs=_read_outputs(record.get("outputs") or "[]"),
            probed=json.loads(record.get("probed") or "null"),
            report=json.loads(record.get("report") or "null"),
            error=json.loads(record.get("error") or "null"),
            attempt_errors=tuple(json.loads(e) for e in (record.get("attempt_errors") or "").splitlines()),
            cached=record.get("cached") == "1",
            batch_id=record.get("batch") or None,
            contents=tuple((record.get("content") or "").split()),
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any], **members: Any) -> Job:
        """Read what storage keeps of an ended job (archive.py)."""
        state = JobState(document["state"])
        return cls(
            id=document["id"],
            state=state,
            request=JobRequest.from_json(json.dumps(document["request"])),
            version=document.get("version", 0),
            created_at=document["created_at"],
            progress=1.0 if state is JobState.SUCCEEDED else 0.0,
            attempt=document["attempt"],
            fence=document["fence"],
            started_at=document["started_at"],
            finished_at=document["finished_at"],
            outputs=tuple(read_members(Output, o) for o in document["outputs"]),
            probed=document["probed"],
            report=document["report"],
            error=document["error"],
            attempt_errors=tuple(document["attempt_errors"]),
            cached=document.get("cached", False),
            **members,
        )


@lru_cache(maxsize=REMEMBERED)
def _read_request(text: str) -> JobRequest:
    return JobRequest.from_json(text)


def _read_outputs(text: str) -> tuple[Output, ...]:
    return tuple(read_members(Output, o) for o in json.loads(text))


def _seconds(milliseconds: str | None) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None
