"""The response bodies of jobs and their webhook deliveries. job_json.py fills them.

What a worker measured of an input or output is passed through unchanged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from api.contract.examples.job import EXAMPLE_JOB, EXAMPLE_JOBS
from api.contract.examples.server import EXAMPLE_DELIVERIES
from api.contract.resource import OpenResource, Resource
from api.contract.webhook_messages import JOB_EVENTS
from shared.jobs.model import JobState, WaitingFor
from shared.jobs.options import Excerpt
from shared.jobs.request import Priority


class SourceResource(OpenResource):
    """The mixture: what the client sent, and the audio properties that a worker found when it probed the file."""

    filename: str
    size_bytes: int
    sha256: str | None
    upload_id: str | None
    url: str = Field(description="Address from which the mixture can be downloaded")
    job_id: str | None = Field(
        None, description="The job whose outputs are the source of this job; null for other sources"
    )
    output: str | None = Field(
        None,
        description="The output of that job which is the mixture; null for other sources, and for a job that mixes "
        "stems",
        examples=["vocals"],
    )
    duration_seconds: float | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None


class OutputResource(OpenResource):
    """One file that the job produced."""

    kind: Literal["stem", "mix", "picture", "waveform", "beats", "report"]
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
    peak_db: float | None = Field(None, description="Sample peak in dBFS; null if the stem is digital silence")
    loudness_lufs: float | None = Field(None, description="Loudness by EBU R 128; null if it is too quiet to measure")


class MusicResource(OpenResource):
    """Tempo and key. A value is null if the worker is not sure of it."""

    tempo_bpm: float | None = Field(
        None, description="Beats per minute, the median over the song; null if not sure", examples=[123.9]
    )
    tempo_confidence: float | None = Field(
        None,
        description="From 0 to 1: how clearly this tempo fits better than its half, its double and similar ones",
        examples=[0.93],
    )
    beats_count: int = Field(0, description="Number of beats in `beats.json`", examples=[496])
    key: str | None = Field(None, description="Tonic and mode; null if not sure", examples=["F# minor"])
    key_confidence: float | None = Field(
        None, description="From 0 to 1. A wrong key is most often the relative major or minor", examples=[0.88]
    )


class MixMembers(Resource):
    """A requested mix, in its full form."""

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


class NextJobResource(Resource):
    """A later job of a chain. It may have been deleted in the meantime."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job_id": "7a1d0c55e2b94f0f8a3b6c7d8e9f0a1b", "output": "vocals"}]}
    )

    job_id: str
    output: str = Field(description="The stem or mix of this job that the later job separates")


class TimesResource(Resource):
    """When the job was created, started and finished (RFC 3339)."""

    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobResource(Resource):
    """The current state of a job."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_JOB]})

    id: str
    state: JobState
    stage: str | None = Field(description="The stage of a running job: fetch, probe, decode, separate, encode, …")
    progress: float = Field(ge=0, le=1, description="Never decreases")
    attempt: int = Field(description="Number of attempts so far")
    queue_position: int | None = Field(description="Position in the queue; 1 is the next job to start")
    eta_seconds: float | None = Field(description="Estimated seconds until the job ends")
    waiting_for: WaitingFor | None = Field(
        description="Why the job cannot start or continue now, apart from its place in the queue. `storage`: the "
        "storage is unavailable; this does not count as an attempt. `engine`: no running worker has its engine. "
        "`source`: the job whose output it separates has not succeeded yet"
    )
    waiting_because: str | None = Field(
        description="Details of `waiting_for`: the storage's error, or the missing engine"
    )
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
    music: MusicResource | None = Field(
        None,
        description="Tempo and key. Null until the job has succeeded, and if ANALYSE_MUSIC is off",
        examples=[
            {
                "tempo_bpm": 123.9,
                "tempo_confidence": 0.93,
                "beats_count": 496,
                "key": "F# minor",
                "key_confidence": 0.88,
            }
        ],
    )
    beats: OutputResource | None = Field(
        None,
        description="A JSON file. `beats` has the times of all beats, in seconds on the song's timeline; "
        "`start_seconds` is the time on it at which the stems begin; `tempo_bpm` is as in `music`. Null if the "
        "tempo is not sure",
        examples=[
            {
                "name": "beats",
                "url": "/v1/jobs/0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70/beats",
                "filename": "beats.json",
                "content_type": "application/json",
                "size_bytes": 3412,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            }
        ],
    )
    report: OutputResource | None
    error: ErrorResource | None
    attempt_errors: list[ErrorResource]
    times: TimesResource
    expires_at: datetime | None = Field(description="When the job and its stems are deleted")
    batch_id: str | None = Field(description="The job's batch; the job is deleted with it")
    cached: bool = Field(description="Whether the outputs are copies of an earlier job's outputs (same owner)")
    metadata: dict[str, Any]
    then: list[NextJobResource] = Field(
        [],
        description="The later jobs of the chain that separate outputs of this job; their `source.job_id` is this job",
    )
    links: dict[str, str]


class JobListResource(Resource):
    """A page of jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_JOBS]})

    jobs: list[JobResource]
    has_more: bool
    next_starting_after: str | None = Field(description="Pass it as `starting_after` to get the next page")


class DeliveryResource(Resource):
    """One attempt to deliver a webhook."""

    message_id: str = Field(description="Value of the header `webhook-id`; the same in each attempt")
    type: str = Field(description=f"The event: {', '.join(JOB_EVENTS)}")
    attempt: int
    at: datetime
    milliseconds: int
    status: int | None = Field(description="HTTP status that the receiver returned; null if it did not respond")
    error: str | None
    outcome: Literal["delivered", "failed", "unwanted", "given_up"]
    next_attempt_in_seconds: float | None


class DeliveriesResource(Resource):
    """The delivery attempts of a job's webhooks, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_DELIVERIES]})

    deliveries: list[DeliveryResource]
