"""The report of a run: what was asked, what the source was, what came out, what was odd, how long it took.

Owns the report's shape and its sentences; the numbers come from the other modules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from shared.formats import Encoding
from worker.engine.interface import Engine
from worker.measuring import Levels
from worker.memory import peak_memory_bytes
from worker.probing import Probe
from worker.track import Track
from worker.work import Outcome, OutputFile, Work, describe_file

PACKAGES = ("stemqueue", "librosa", "numpy", "scipy", "soundfile", "onnxruntime")

# How much shorter than declared a track must be to be called short: headers round, and codecs pad.
SHORT_SECONDS = 0.25


@dataclass(frozen=True)
class Findings:
    """All that a run found out; `notes` are sentences on what was odd about the tags."""

    work: Work
    engine: Engine
    probe: Probe
    track: Track
    encoding: Encoding
    mixture: Levels
    stems: Mapping[str, Levels]
    residual_db: float | None
    gain: float
    notes: Sequence[str]
    seconds: Mapping[str, float]


def conclude(findings: Findings, stem_files: Sequence[OutputFile], pictures: Sequence[OutputFile]) -> Outcome:
    """Write `report.json` and return the outcome with all files, the stems' with what was measured of them."""
    stems = [replace(file, details=_stem(findings, file.name)) for file in stem_files]
    source, report = _source(findings), _report(findings)
    path = Path(findings.work.output_folder) / "report.json"
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    written = describe_file(path, name="report", kind="report", content_type="application/json")
    return Outcome((*stems, *pictures, written), source, report)


def _stem(findings: Findings, name: str) -> dict[str, Any]:
    encoding, track = findings.encoding, findings.track
    # Resampling ends with the first sample at or past the source's end.
    n_samples = -(-track.n_samples * encoding.sample_rate_hz // track.audio.sample_rate_hz)
    return {
        "sample_rate_hz": encoding.sample_rate_hz,
        "channels": encoding.channels,
        "n_samples": n_samples,
        "duration_seconds": round(track.duration_seconds, 6),
        **findings.stems[name].to_json(),
    }


def _report(findings: Findings) -> dict[str, Any]:
    work, track, description = findings.work, findings.track, findings.engine.description
    total_seconds = sum(findings.seconds.values())
    rate = track.audio.sample_rate_hz
    return {
        "source": _source(findings),
        "excerpt": None
        if _whole(work)
        else {
            "start_seconds": round((track.audio.first_sample + track.start) / rate, 6),
            "duration_seconds": round(track.duration_seconds, 6),
            "context_seconds_before": round(track.start / rate, 6),
            "context_seconds_after": round((track.audio.n_samples - track.stop) / rate, 6),
        },
        "engine": description.name,
        "engine_version": description.version,
        "preset": work.preset or description.default_preset,
        "parameters": _parameters(findings),
        "format": {
            "name": findings.encoding.format.name,
            "bit_depth": findings.encoding.bit_depth,
            "bitrate_kbps": findings.encoding.bitrate_kbps,
            "sample_rate_hz": findings.encoding.sample_rate_hz,
        },
        "mixture": findings.mixture.to_json(),
        "stems": {name: _stem(findings, name) for name in findings.stems},
        "residual_db": findings.residual_db,
        "gain_db": round(20 * math.log10(findings.gain), 3),
        "notes": _notes(findings),
        "seconds": {**findings.seconds, "total": round(total_seconds, 3)},
        "real_time_factor": round(track.duration_seconds / total_seconds, 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "threads": work.limits.threads,
        "versions": {"ffmpeg": findings.probe.ffmpeg_version, **_versions()},
    }


def _whole(work: Work) -> bool:
    return work.excerpt_start_seconds is None and work.excerpt_duration_seconds is None


def _parameters(findings: Findings) -> dict[str, Any]:
    """Return the preset's parameters with the job's own on top."""
    work, description = findings.work, findings.engine.description
    name = work.preset or description.default_preset
    preset = next((p.parameters for p in description.presets if p.name == name), {})
    return {**preset, **work.parameters}


def _source(findings: Findings) -> dict[str, Any]:
    audio, probe = findings.track.audio, findings.probe
    # Of an excerpt only a part is decoded: what the packets say is then the best that is known of the whole.
    seconds = audio.duration_seconds if _whole(findings.work) else probe.expected_seconds
    return {
        **probe.to_json(),
        "filename": findings.work.source_filename,
        "sample_rate_hz": audio.sample_rate_hz,
        "channels": audio.channels,
        "duration_seconds": None if seconds is None else round(seconds, 6),
        "repaired_samples": audio.repaired_samples,
    }


def _notes(findings: Findings) -> list[str]:
    """Return one sentence for each thing that its owner would want to know."""
    work, probe, track, encoding = findings.work, findings.probe, findings.track, findings.encoding
    audio = track.audio
    notes = []
    declared = probe.declared_seconds
    if _whole(work) and declared is not None and audio.duration_seconds < declared - SHORT_SECONDS:
        notes.append(
            f"The file claims {declared:.2f} s but holds {audio.duration_seconds:.2f} s: it may be cut or damaged."
        )
    if audio.lost_packets:
        notes.append(f"{audio.lost_packets} packets were damaged and could not be decoded.")
    if audio.broke_off:
        notes.append("The file goes on in a way that cannot be read: what follows is missing.")
    if audio.repaired_samples:
        notes.append(f"{audio.repaired_samples} samples were not finite, or absurd, and were set to silence.")
    if probe.audio_streams > 1:
        notes.append(f"The file has {probe.audio_streams} audio streams; the first was taken.")
    if _excerpt_was_cut(findings):
        notes.append("The excerpt passes the end of the audio and was cut there.")
    if findings.gain != 1:
        notes.append(f"All stems are {-20 * math.log10(findings.gain):.2f} dB quieter: the loudest would have clipped.")
    if encoding.sample_rate_hz != audio.sample_rate_hz:
        notes.append(f"{encoding.format.name} cannot hold {audio.sample_rate_hz} Hz: the stems are resampled.")
    if encoding.channels != audio.channels:
        notes.append(f"{encoding.format.name} cannot hold {audio.channels} channels: the stems are mixed down.")
    return [*notes, *findings.notes]


def _excerpt_was_cut(findings: Findings) -> bool:
    wanted = findings.work.excerpt_duration_seconds
    return wanted is not None and findings.track.duration_seconds < wanted - 1 / findings.track.audio.sample_rate_hz


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    """Return the versions of what shapes the sound; packages that are not installed are left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
