"""The response bodies that describe the server: engines, output formats, limits, health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

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
    author: str = Field("", description="Whose engine or model it is")
    licence: str = Field("", description="Under which licence, in the author's words")
    licence_source: str = Field("", description="Where these words stand; empty if nowhere in particular")
    scores_from: str = Field("", description="The songs over which the presets' scores are medians")
    precision: str = Field(
        "float32",
        description="The number format in which it computes; stems of one version differ slightly between them",
    )
    passes: int = Field(1, description="How often it reads the song")
    context_seconds: float = Field(0.0, description="How far around an excerpt it reads, in seconds")
    real_time_factor: float | None = Field(
        None, description="Seconds of stereo that it separates in one second with two processors; null if not measured"
    )
    memory_bytes: int | None = Field(None, description="What it allocates at most for four minutes of stereo")
    waiting_for: Literal["storage"] | None = Field(
        None, description="What all its workers wait for; its jobs stay queued meanwhile"
    )


class FormatResource(Resource):
    """An output format of stems."""

    name: str
    extension: str
    content_type: str
    bit_depths: list[int] = Field(description="Bits per sample of lossless files; empty if the format is always lossy")
    bitrates_kbps: list[int] | None = Field(
        description="Lowest, default, highest of lossy files; null if the format is always lossless"
    )
    needed_stems: list[str] = Field(
        [], description="The stems that an engine must have for this format", examples=[["drums", "bass", "vocals"]]
    )


class EnginesResource(Resource):
    """The engines, formats and limits of this server at the moment."""

    engines: list[EngineResource]
    default_engine: str
    formats: list[FormatResource]
    max_upload_bytes: int
    max_audio_seconds: float


class HealthResource(Resource):
    """Whether the server can do its work."""

    status: Literal["ok", "unavailable"]
    faults: dict[str, str] = Field({}, description="Unavailable dependencies, each with its error")
