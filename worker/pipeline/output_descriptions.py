"""Describes encoded stems and mixes, and the software that made them, for the report and the job's record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any

from shared.audio.formats import Encoding
from worker.audio_files.excerpt import Track
from worker.measurements.measure import Levels
from worker.run_messages import Work

PACKAGES = ("stemqueue", "librosa", "numpy", "scipy", "soundfile", "onnxruntime")


def describe_mixes(
    work: Work, levels: Mapping[str, Levels], encoding: Encoding, track: Track
) -> dict[str, dict[str, Any]]:
    """Return for each mix its stems with their gains, and its measurements."""
    return {
        mix.name: {
            "gains_db": dict(mix.gains_db),
            "rest_db": mix.rest_db,
            **describe_audio(levels[mix.name], encoding, track),
        }
        for mix in work.mixes
    }


def describe_audio(levels: Levels, encoding: Encoding, track: Track) -> dict[str, Any]:
    """Return the shape and the levels of an encoded stem or mix of the track."""
    # Resampling ends with the first sample at or after the end of the source.
    n_samples = -(-track.n_samples * encoding.sample_rate_hz // track.audio.sample_rate_hz)
    return {
        "sample_rate_hz": encoding.sample_rate_hz,
        "channels": encoding.channels,
        "n_samples": n_samples,
        "duration_seconds": round(track.duration_seconds, 6),
        **levels.to_json(),
    }


def describe_format(encoding: Encoding) -> dict[str, Any]:
    """Return how the outputs are encoded."""
    return {
        "name": encoding.format.name,
        "bit_depth": encoding.bit_depth,
        "bitrate_kbps": encoding.bitrate_kbps,
        "sample_rate_hz": encoding.sample_rate_hz,
    }


@lru_cache(maxsize=1)
def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that affect the sound."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
