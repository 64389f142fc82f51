"""The response bodies that describe the server: engines, output formats, limits, health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.contract.resource import OpenResource, Resource


class ParameterResource(Resource):
    """One setting of an engine."""

    name: str
    kind: Literal["number", "integer", "choice"]
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] = Field([])


class PresetResource(Resource):
    """A named set of an engine's parameters, with what was measured of it."""

    name: str
    description: str
    parameters: dict[str, Any] = Field({})
    scores: dict[str, float] = Field({})
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
    waiting_for: Literal["storage"] | None = Field(
        None, description="What all its workers wait for; its jobs stay in line meanwhile"
    )


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
