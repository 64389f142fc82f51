"""What clients get to see: the shapes of answers, which the OpenAPI document is made of.

What a worker measured of an output passes through word for word. job_json.py fills the shape of a job.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.contract.resource import OpenResource, Resource
from shared.jobs.model import JobState
from shared.jobs.options import Excerpt


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
    waiting_for: Literal["storage"] | None = Field(
        description="What it waits for: a storage that does not answer costs no attempt, however long it is away"
    )
    waiting_because: str | None = Field(description="What the storage answered, while the job waits for it")
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
    batch_id: str | None = Field(description="The batch that it belongs to, and goes with")
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
