"""The response bodies of jobs and their webhook deliveries. job_json.py fills them.

What a worker measured of an input or output is passed through unchanged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from api.contract.resource import OpenResource, Resource
from api.contract.webhook_messages import JOB_EVENTS
from shared.jobs.model import JobState, Priority
from shared.jobs.options import Excerpt


class SourceResource(OpenResource):
    """The mixture, as it was sent and, once a worker has probed it, as it was found to be."""

    filename: str
    size_bytes: int
    sha256: str | None
    upload_id: str | None
    url: str = Field(description="Where to download the mixture")
    job_id: str | None = Field(None, description="The job whose outputs this job reads; null for other sources")
    duration_seconds: float | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None


class OutputResource(OpenResource):
    """One file that the job produced."""

    kind: Literal["stem", "mix", "picture", "waveform", "report"]
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
    peak_db: float | None = Field(None, description="Null if the stem is digital silence")
    loudness_lufs: float | None = Field(None, description="EBU R 128; null if the stem is too quiet to measure")


class MixMembers(Resource):
    """A mix that was asked for, in its full form."""

    name: str
    gains_db: dict[str, float | None] = Field(description="Gains of stems in dB; null: left out")
    rest_db: float | None = Field(description="The gain of everything else; null: left out")


class MixResource(StemResource):
    """One mix of the stems."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "mix",
                    "name": "karaoke",
                    "url": "/v1/jobs/3f2b8c1d4e5f60718293a4b5c6d7e8f9/mixes/karaoke",
                    "filename": "karaoke.flac",
                    "content_type": "audio/flac",
                    "size_bytes": 18023145,
                    "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
                    "format": "flac",
                    "duration_seconds": 187.2,
                    "peak_db": -0.4,
                    "loudness_lufs": -12.9,
                    "gains_db": {"vocals": None, "drums": -3.0},
                    "rest_db": 0.0,
                }
            ]
        }
    )

    gains_db: dict[str, float | None] = Field(description="Gains of stems in dB; null: left out")
    rest_db: float | None = Field(description="The gain of everything else; null: left out")


class ErrorResource(OpenResource):
    """Why an attempt failed."""

    code: str
    message: str
    retryable: bool
    attempt: int | None = None


class TimesResource(Resource):
    """When the job was created, started and finished (RFC 3339)."""

    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobResource(Resource):
    """The current state of a job."""

    id: str
    state: JobState
    stage: str | None = Field(description="The stage of a running job: fetch, probe, decode, separate, encode, …")
    progress: float = Field(ge=0, le=1, description="Never decreases")
    attempt: int = Field(description="Attempts so far")
    queue_position: int | None = Field(description="1 is the next job to start")
    eta_seconds: float | None = Field(description="Estimated seconds until the job ends")
    waiting_for: Literal["storage"] | None = Field(
        description="What the job waits for. An outage of the storage costs no attempt, however long it lasts"
    )
    waiting_because: str | None = Field(description="The storage's error while the job waits for it")
    engine: str
    preset: str | None
    parameters: dict[str, int | float | str]
    stems_wanted: list[str] | None
    mixes_wanted: list[MixMembers]
    format: str
    format_options: dict[str, int]
    excerpt: Excerpt | None
    priority: Priority
    source: SourceResource
    stems: list[StemResource]
    mixes: list[MixResource]
    pictures: list[OutputResource]
    waveforms: list[OutputResource]
    report: OutputResource | None
    error: ErrorResource | None
    attempt_errors: list[ErrorResource]
    times: TimesResource
    expires_at: datetime | None = Field(description="When the job and its stems are deleted")
    batch_id: str | None = Field(description="The batch that the job belongs to and is deleted with")
    cached: bool = Field(description="The outputs are copies of those of an earlier job of the same owner")
    metadata: dict[str, Any]
    links: dict[str, str]


class JobListResource(Resource):
    """A page of jobs, newest first."""

    jobs: list[JobResource]
    has_more: bool
    next_starting_after: str | None = Field(description="Pass it as `starting_after` to get the next page")


class DeliveryResource(Resource):
    """One attempt to deliver a webhook."""

    message_id: str = Field(description="The `webhook-id` header, the same in each attempt")
    type: str = Field(description=f"The event: {', '.join(JOB_EVENTS)}")
    attempt: int
    at: datetime
    milliseconds: int
    status: int | None = Field(description="The receiver's HTTP status; null without an answer")
    error: str | None
    outcome: Literal["delivered", "failed", "unwanted", "given_up"]
    next_attempt_in_seconds: float | None


class DeliveriesResource(Resource):
    """The delivery attempts of a job's webhooks, oldest first."""

    deliveries: list[DeliveryResource]
