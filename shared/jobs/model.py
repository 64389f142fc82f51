"""Defines the job: its states, the transitions between them, and the fields of its record.

request.py has what the client asked for. store.py reads and writes the records. api/contract/job_json.py renders jobs
for clients. docs/job-lifecycle.md describes who writes which field of the record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

from shared.jobs.request import JobRequest, read_source
from shared.parsing.stored_records import check_schema, read_members

CACHED_REQUESTS = 256
"""Parsed requests that a process caches: a request never changes, but a running job's record often does."""


class JobState(StrEnum):
    """The state of a job. `stage` and `progress` describe a running job further."""

    QUEUED = "queued"
    """Entered on submit, on retry, and when a claim is handed back or lost. Left by a claim or a cancel,
    and when the job whose output it waits for ends without it. A crash loses nothing: the job stays in the queue, and
    lost messages are published again."""

    RUNNING = "running"
    """Entered when a worker claims the job, with a lease and a fence. Left when that claim ends, by a cancel, or by
    the rescuer when the lease has expired. If the worker crashes, its heartbeat stops and the lease expires."""

    SUCCEEDED = "succeeded"
    """Entered by one atomic write with the list of outputs and the claim's fence. Final."""

    FAILED = "failed"
    """Entered when the input is invalid, retries are used up, or workers died too often. Left only by a manual
    retry."""

    CANCELED = "canceled"
    """Entered by a cancel, at once, whatever the worker is doing. Left only by a manual retry."""


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELED, JobState.FAILED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELED: frozenset({JobState.QUEUED}),
}
"""The states that may follow each state. The Lua scripts make the changes; test_transitions.py compares them."""

TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})

WaitingFor = Literal["storage", "engine", "source"]
"""Why a job waits, apart from its place in the queue: until the storage serves it, until a live worker has its
engine, or until the job whose output is its source has succeeded."""

STAGES = ("fetch", "probe", "decode", "separate", "encode", "illustrate", "upload")
"""The stages of a running job, in their order."""


STORAGE_ETAG = "storage_etag"
"""The member of an output's details that holds its ETag. Earlier versions, which may read the record during an upgrade,
know no other place for it."""


HOLDS = "holds"
"""The member of an output's details that says what it is, if earlier versions do not know its kind. They would refuse
the whole job, so the record calls it a waveform, which is JSON as well."""


MUSIC = "music"
"""The member of the report's details that holds tempo and key. Clients get a job without its report, which is long."""


@dataclass(frozen=True)
class Output:
    """One object that a job made: a stem, a mix, a picture, a waveform, the beats or the report.

    `kind` is how it is recorded, `role` is what it is.
    """

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
        """The object's ETag in storage; None for outputs of earlier versions."""
        return self.details.get(STORAGE_ETAG)

    @property
    def role(self) -> str:
        """What the output is: its kind, or `beats`."""
        return str(self.details.get(HOLDS, self.kind))

    def stored(self, key: str, etag: str) -> Output:
        """Return the output with its key and ETag in storage."""
        return replace(self, key=key, details={**self.details, STORAGE_ETAG: etag})


AUDIO_KINDS = frozenset({"stem", "mix"})
"""The kinds of outputs that one can listen to."""


def separated_seconds(outputs: Iterable[Output]) -> float:
    """Return how many seconds of audio were separated: the length of the longest stem or mix; 0 without these."""
    return max((float(o.details.get("duration_seconds", 0.0)) for o in outputs if o.kind in AUDIO_KINDS), default=0.0)


@dataclass(frozen=True)
class Job:
    """A job's record as it was at one moment. Times are seconds since 1970 by Redis's clock.

    Each change gives the record a version that it never had before, even if the job was deleted and created again
    under the same id.
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
    waiting_for: WaitingFor | None = None
    waiting_because: str | None = None
    """Why the job waits for that; None if it waits for its turn alone."""
    cached: bool = False
    batch_id: str | None = None
    queued_at: float | None = None
    """When it last entered the queue; known only to workers, and not for records of earlier versions."""
    cache_keys: tuple[str, ...] = ()
    """Under which keys the result cache has its result; a lookup uses the first."""

    def output(self, kind: str, name: str) -> Output | None:
        """Return the output that is of this kind and has this name, or None."""
        return next((o for o in self.outputs if o.role == kind and o.name == name), None)

    @property
    def music(self) -> Mapping[str, Any] | None:
        """Tempo and key; None until the job has succeeded, and if it ran without looking for them."""
        return next((o.details.get(MUSIC) for o in self.outputs if o.role == "report"), None)

    def with_queue_state(
        self,
        queue_position: int | None,
        eta_seconds: float | None,
        waiting_for: WaitingFor | None = None,
        waiting_because: str | None = None,
    ) -> Job:
        """Return the job with these values, which change without a change of its record."""
        moved = object.__new__(Job)
        # The same as `dataclasses.replace`, which passes through every field and would slow down polls.
        moved.__dict__.update(
            self.__dict__,
            queue_position=queue_position,
            eta_seconds=eta_seconds,
            waiting_for=waiting_for,
            waiting_because=waiting_because,
        )
        return moved

    def waiting_for_engine(self) -> Job:
        """Return the queued job as one whose engine no live worker has."""
        because = f"No running worker has the engine {self.request.engine}. The job starts when one has it."
        return self.with_queue_state(self.queue_position, None, "engine", because)

    @classmethod
    def from_record(cls, job_id: str, record: Mapping[str, str]) -> Job:
        """Read the fields of a job's hash in Redis. Raises RecordTooNewError."""
        check_schema(record, f"the record of job {job_id}")
        request, state = _read_request(record["request"], record.get("source") or ""), JobState(record["state"])
        waits = state is JobState.QUEUED and record.get("awaits")
        return cls(
            id=job_id,
            state=state,
            request=request,
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
            waiting_for="source" if waits else None,
            waiting_because=f"Job {waits}, which this one continues, has not ended yet." if waits else None,
            cached=record.get("cached") == "1",
            batch_id=record.get("batch") or None,
            queued_at=_seconds(record.get("queued_ms")),
            cache_keys=tuple((record.get("content") or "").split()),
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any], **members: Any) -> Job:
        """Read an ended job's document in storage (archive.py)."""
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


@lru_cache(maxsize=CACHED_REQUESTS)
def _read_request(text: str, source: str) -> JobRequest:
    """Return the request. `source`: what was not yet known of the source when it was submitted, as JSON."""
    request = JobRequest.from_json(text)
    if not source:
        return request
    return replace(request, source=read_source({**asdict(request.source), **json.loads(source)}))


def _read_outputs(text: str) -> tuple[Output, ...]:
    return tuple(read_members(Output, o) for o in json.loads(text))


def _seconds(milliseconds: str | None) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None
