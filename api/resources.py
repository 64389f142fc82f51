"""What clients get to see: jobs, uploads and engines as JSON.

Owns the shape of answers, which the OpenAPI document is made of, and the links in them: stable paths of this API, so
that an ETag means something. What a worker measured of an output passes through word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import Excerpt
from shared.job import TERMINAL, Job, JobState, Output


class Resource(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class OpenResource(Resource):
    """A part of an answer that also carries what a worker found out."""

    model_config = ConfigDict(frozen=True, extra="allow")


class SourceResource(OpenResource):
    """The mixture: as it was sent, and, once a worker has looked, what it is."""

    filename: str
    size_bytes: int
    sha256: str | None
    upload_id: str | None
    url: str = Field(description="The mixture itself")
    duration_seconds: float | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None


class OutputResource(OpenResource):
    """One file that the job made."""

    name: str
    url: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str


class StemResource(OutputResource):
    """One stem."""

    format: str
    duration_seconds: float | None = None
    peak_db: float | None = Field(None, description="Null for digital silence")
    loudness_lufs: float | None = Field(None, description="EBU R 128; null where nothing is loud enough")


class ErrorResource(OpenResource):
    """Why an attempt failed."""

    code: str
    message: str
    retryable: bool
    attempt: int | None = None


class TimesResource(Resource):
    """When things happened, RFC 3339."""

    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobResource(Resource):
    """A job as it stands."""

    id: str
    state: JobState
    stage: str | None = Field(description="What a running job does: fetch, probe, decode, separate, encode, …")
    progress: float = Field(ge=0, le=1, description="Never falls")
    attempt: int = Field(description="Runs so far")
    queue_position: int | None = Field(description="1: next")
    eta_seconds: float | None = Field(description="Seconds until it ends, as far as can be told")
    engine: str
    preset: str | None
    parameters: dict[str, int | float | str]
    stems_wanted: list[str] | None
    format: str
    format_options: dict[str, int]
    excerpt: Excerpt | None
    priority: Literal["interactive", "bulk"]
    source: SourceResource
    stems: list[StemResource]
    pictures: list[OutputResource]
    waveforms: list[OutputResource]
    report: OutputResource | None
    error: ErrorResource | None
    attempt_errors: list[ErrorResource]
    times: TimesResource
    expires_at: datetime | None = Field(description="When the job and its stems are removed")
    cached: bool = Field(description="Answered by copies of what an earlier job of the same owner had made")
    metadata: dict[str, Any]
    links: dict[str, str]


class JobListResource(Resource):
    """A page of jobs, newest first."""

    jobs: list[JobResource]
    has_more: bool
    next_starting_after: str | None = Field(description="`starting_after` of the next page")


class DeliveryResource(Resource):
    """One try to deliver a webhook."""

    message_id: str = Field(description="Its `webhook-id`, the same at each try")
    type: str = Field(description="job.succeeded, job.failed or job.canceled")
    attempt: int
    at: datetime
    milliseconds: int
    status: int | None = Field(description="What the receiver answered, if it did")
    error: str | None
    outcome: Literal["delivered", "failed", "unwanted", "given_up"]
    next_attempt_in_seconds: float | None


class DeliveriesResource(Resource):
    """How a job's webhooks went, oldest first."""

    deliveries: list[DeliveryResource]


class DirectUploadResource(Resource):
    """An upload that the client sends to storage: a multipart form with these fields, and then the part `file`."""

    upload_id: str
    filename: str
    url: str = Field(description="Where the form is posted")
    fields: dict[str, str] = Field(description="The form's fields")
    expires_in_seconds: int


class UploadResource(Resource):
    """An upload that jobs can name."""

    upload_id: str
    filename: str
    size_bytes: int
    sha256: str


class ParameterResource(Resource):
    """One setting of an engine."""

    name: str
    kind: Literal["number", "integer", "choice"]
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] = []


class PresetResource(Resource):
    """A named set of an engine's parameters, with what was measured of it."""

    name: str
    description: str
    parameters: dict[str, Any] = {}
    scores: dict[str, float] = {}
    min_seconds: float = 0.0
    max_seconds: float | None = None


class EngineResource(OpenResource):
    """An engine that a live worker has."""

    name: str
    version: str
    title: str
    summary: str
    stems: list[str]
    presets: list[PresetResource]
    default_preset: str
    parameters: list[ParameterResource]


class FormatResource(Resource):
    """A format that stems come in."""

    name: str
    extension: str
    content_type: str
    bit_depths: list[int] = Field(description="Empty: lossy")
    bitrates_kbps: list[int] | None = Field(description="Lowest, default, highest; null: lossless")


class EnginesResource(Resource):
    """What this server can do at the moment."""

    engines: list[EngineResource]
    default_engine: str
    formats: list[FormatResource]
    max_upload_bytes: int
    max_audio_seconds: float


class HealthResource(Resource):
    """Whether the server is well."""

    status: Literal["ok", "unavailable"]
    faults: dict[str, str] = Field({}, description="What is away, and how it shows")


def job_resource(job: Job) -> JobResource:
    """Return a job as clients see it."""
    request, base = job.request, f"/v1/jobs/{job.id}"
    wants_part = request.excerpt_start_seconds is not None or request.excerpt_duration_seconds is not None
    return JobResource(
        id=job.id,
        state=job.state,
        stage=job.stage,
        progress=1.0 if job.state is JobState.SUCCEEDED else job.progress,
        attempt=job.attempt,
        queue_position=job.queue_position,
        eta_seconds=None if job.eta_seconds is None else round(job.eta_seconds, 1),
        engine=request.engine,
        preset=request.preset,
        parameters=dict(request.parameters),
        stems_wanted=list(request.stems) if request.stems else None,
        format=request.format,
        format_options=dict(request.format_options),
        excerpt=Excerpt(
            start_seconds=request.excerpt_start_seconds or 0.0, duration_seconds=request.excerpt_duration_seconds
        )
        if wants_part
        else None,
        priority="bulk" if request.priority == "bulk" else "interactive",
        source=_source(job),
        stems=[_stem(job, o) for o in _outputs(job, "stem")],
        pictures=[_output(job, o) for o in _outputs(job, "picture")],
        waveforms=[_output(job, o) for o in _outputs(job, "waveform")],
        report=next((_output(job, o) for o in _outputs(job, "report")), None),
        error=ErrorResource(**job.error) if job.error else None,
        attempt_errors=[ErrorResource(**e) for e in job.attempt_errors],
        times=TimesResource(
            created_at=_moment(job.created_at),
            started_at=_moment(job.started_at) if job.started_at else None,
            finished_at=_moment(job.finished_at) if job.finished_at else None,
        ),
        expires_at=_moment(job.expires_at) if job.expires_at else None,
        cached=job.cached,
        metadata=dict(request.metadata),
        links=_links(job, base),
    )


def etag_of(job: Job) -> str:
    """Return the tag of a job's representation: weak, since the time left moves on without a change of the job."""
    return f"{job.id[:8]}-{job.version}-{job.queue_position or 0}"


def output_url(job_id: str, output: Output) -> str:
    """Return the stable path under which an output is read."""
    if output.kind == "report":
        return f"/v1/jobs/{job_id}/report"
    return f"/v1/jobs/{job_id}/{output.kind}s/{output.name}"


def _links(job: Job, base: str) -> dict[str, str]:
    links = {"self": base, "source": f"{base}/source"}
    if job.state not in TERMINAL:
        links["cancel"] = f"{base}/cancel"
    if job.state in {JobState.FAILED, JobState.CANCELED}:
        links["retry"] = f"{base}/retry"
    if any(o.kind == "report" for o in job.outputs):
        links["report"] = f"{base}/report"
    if job.outputs:
        links["archive"] = f"{base}/archive"
    if job.state not in TERMINAL:
        links["events"] = f"{base}/events"
    return links


def _source(job: Job) -> SourceResource:
    source = job.request.source
    return SourceResource(
        **{
            **(job.probed or {}),
            "filename": source.filename,
            "size_bytes": source.size_bytes,
            "sha256": source.sha256,
            "upload_id": source.upload_id,
            "url": f"/v1/jobs/{job.id}/source",
        }
    )


def _outputs(job: Job, kind: str) -> list[Output]:
    return [o for o in job.outputs if o.kind == kind]


def _members(job: Job, output: Output) -> Mapping[str, Any]:
    return {
        **output.details,
        "name": output.name,
        "url": output_url(job.id, output),
        "filename": output.filename,
        "content_type": output.content_type,
        "size_bytes": output.size_bytes,
        "sha256": output.sha256,
    }


def _output(job: Job, output: Output) -> OutputResource:
    return OutputResource(**_members(job, output))


def _stem(job: Job, output: Output) -> StemResource:
    return StemResource(**_members(job, output), format=job.request.format)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
