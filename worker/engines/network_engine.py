"""What the engines of all networks have in common: one preset, the lowest sample rate, facts from the manifest."""

from __future__ import annotations

from typing import Any

from worker.engines.errors import EngineError, InvalidParameterError
from worker.engines.interface import Preset
from worker.engines.model_folder import ModelManifest

DEFAULT_PRESET = "standard"

LOWEST_RATE_HZ = 1000
"""Below this a track is not music, and seconds at the networks' rate would be minutes of the track."""


def check_preset(engine: str, preset: str | None) -> None:
    """Raise InvalidParameterError unless the preset is the one that every network has, or None."""
    if preset not in {None, DEFAULT_PRESET}:
        raise InvalidParameterError(f"The engine {engine} has no preset {preset!r}; it has {DEFAULT_PRESET!r}.")


def check_rate(sample_rate_hz: int) -> None:
    """Raise EngineError if a track's rate is below `LOWEST_RATE_HZ`; every other track can be separated."""
    if sample_rate_hz < LOWEST_RATE_HZ:
        raise EngineError(
            "sample_rate_unsupported",
            f"The sample rate is {sample_rate_hz} Hz; this engine needs at least {LOWEST_RATE_HZ} Hz.",
        )


def described_facts(manifest: ModelManifest) -> dict[str, Any]:
    """Return the members of an `EngineDescription` that stand in every manifest."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "title": manifest.title,
        "summary": manifest.summary,
        "stems": manifest.stems,
        "presets": (Preset(DEFAULT_PRESET, "The network as it was trained.", scores=manifest.scores),),
        "default_preset": DEFAULT_PRESET,
        "licence": manifest.licence,
        "precision": manifest.precision,
        "real_time_factor": manifest.real_time_factor,
        "author": manifest.origin.get("author", ""),
        "licence_source": manifest.origin.get("licence_source", ""),
    }


def ignore_progress(_fraction: float) -> None:
    """Do nothing: the caller gave no callback."""
