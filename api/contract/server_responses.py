"""The response bodies that describe the server: engines, output formats, limits, health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from api.contract.examples.server import EXAMPLE_ENGINES, HEALTHY
from api.contract.resource import OpenResource, Resource


class ParameterResource(Resource):
    """One parameter of an engine."""

    name: str
    kind: Literal["number", "integer", "choice"]
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] = Field([])


class PresetResource(Resource):
    """A named set of an engine's parameters, with its measured scores."""

    name: str
    description: str
    parameters: dict[str, Any] = Field({})
    scores: dict[str, float] = Field({})
    min_seconds: float = 0.0
    max_seconds: float | None = None


class EngineResource(OpenResource):
    """An engine that at least one live worker offers."""

    name: str
    version: str
    title: str
    summary: str
    stems: list[str]
    derived_stems: list[str] = Field([], description="Further stems that a job gets only if it asks for them")
    presets: list[PresetResource]
    default_preset: str
    parameters: list[ParameterResource]
    author: str = Field("", description="Author of the engine or model")
    licence: str = Field("", description="Licence, in the author's words")
    licence_source: str = Field("", description="Address where the author states the licence; empty if there is none")
    scores_from: str = Field("", description="The songs on which the presets' scores were measured (medians)")
    precision: str = Field(
        "float32",
        description="Number format of the computation. With another one, the same version gives slightly different "
        "stems",
    )
    passes: int = Field(1, description="How many times the engine reads the song")
    context_seconds: float = Field(0.0, description="Seconds of audio that it also reads before and after an excerpt")
    real_time_factor: float | None = Field(
        None, description="Seconds of stereo audio separated per second, on two processors; null if not measured"
    )
    memory_bytes: int | None = Field(None, description="Most memory that it allocates for four minutes of stereo audio")
    waiting_for: Literal["storage"] | None = Field(
        None, description="`storage`: all workers with this engine wait for the storage, and its jobs stay queued"
    )


class FormatResource(Resource):
    """An output format of stems."""

    name: str
    extension: str
    content_type: str
    bit_depths: list[int] = Field(description="Bits per sample of lossless files; empty if the format is always lossy")
    bitrates_kbps: list[int] | None = Field(
        description="Lowest, default and highest bitrate of lossy files; null if the format is always lossless"
    )
    needed_stems: list[str] = Field(
        [], description="The stems that an engine must have for this format", examples=[["drums", "bass", "vocals"]]
    )


class EnginesResource(Resource):
    """The engines, formats and limits of this server at the moment."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_ENGINES]})

    engines: list[EngineResource]
    default_engine: str
    formats: list[FormatResource]
    max_upload_bytes: int
    max_audio_seconds: float


class HealthResource(Resource):
    """Whether the server can process jobs."""

    model_config = ConfigDict(json_schema_extra={"examples": [HEALTHY]})

    status: Literal["ok", "unavailable"]
    faults: dict[str, str] = Field({}, description="The dependencies that are unavailable, each with its error")
