"""What a pipeline run takes and gives: plain, frozen values that pass through a pipe as JSON.

Owns the types alone. The supervisor, the child and `stemqueue-separate` speak to the pipeline in these;
none of them knows of jobs, queues or storage.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The child needs no settings, and is spared what they import.
    from shared.settings import Settings

ReportProgress = Callable[[str, float], None]
"""Called with a stage's name and the fraction of that stage that is done, 0 to 1; cheap to call often."""

STAGE_SHARES: Mapping[str, float] = {
    "probe": 0.01,
    "decode": 0.05,
    "separate": 0.74,
    "encode": 0.14,
    "illustrate": 0.06,
}
"""How much of a run's time each stage is expected to take, in their order; the shares sum to 1."""


def overall_progress(stage: str, fraction: float) -> float:
    """Return how much of the whole run is done when this fraction of this stage is."""
    names = list(STAGE_SHARES)
    before = sum(STAGE_SHARES[name] for name in names[: names.index(stage)])
    return min(1.0, before + STAGE_SHARES[stage] * min(max(fraction, 0.0), 1.0))


@dataclass(frozen=True)
class Limits:
    """What one run may use. The defaults are those of the settings."""

    max_audio_seconds: float = 4 * 3600.0
    max_scratch_bytes: int = 13_000_000_000
    threads: int = 1


def threads_per_job(settings: Settings) -> int:
    """Return how many threads a job may use: the setting, or the usable cores divided by the slots."""
    if settings.threads_per_job is not None:
        return settings.threads_per_job
    return max(1, len(os.sched_getaffinity(0)) // settings.worker_slots)


@dataclass(frozen=True)
class Work:
    """One separation to run: what to read, what to make of it, and where to put it.

    `input_path` may have any name; `source_filename` is what its owner called it.
    `output_folder` receives the files that the outcome lists; `scratch_folder` is emptied at the end.
    `extra_engines` names modules with engines of the operator's own. `stems` None means all that the engine has.
    `format_options` holds `bit_depth` or `bitrate_kbps`.
    """

    input_path: str
    output_folder: str
    scratch_folder: str
    source_filename: str
    engine: str
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stems: tuple[str, ...] | None = None
    format: str = "flac"
    format_options: Mapping[str, Any] = field(default_factory=dict)
    excerpt_start_seconds: float | None = None
    excerpt_duration_seconds: float | None = None
    limits: Limits = field(default_factory=Limits)
    model_folder: str | None = None
    extra_engines: tuple[str, ...] = ()
    ffmpeg_path: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Work:
        """Read what `to_json` gave."""
        stems = values["stems"]
        return cls(
            **{
                **values,
                "limits": Limits(**values["limits"]),
                "stems": None if stems is None else tuple(stems),
                "extra_engines": tuple(values["extra_engines"]),
            }
        )


@dataclass(frozen=True)
class OutputFile:
    """One file in the output folder.

    `kind` is `stem`, `picture`, `waveform` or `report`; `name` is unique within its kind. `details` holds,
    for a stem, what was measured of it; for a picture, what its axes mean.
    """

    name: str
    kind: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    details: Mapping[str, Any] = field(default_factory=dict)


def describe_file(
    path: Path, *, name: str, kind: str, content_type: str, details: Mapping[str, Any] | None = None
) -> OutputFile:
    """Return the description of a finished file, with its size and SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return OutputFile(name, kind, path.name, content_type, path.stat().st_size, digest, details or {})


@dataclass(frozen=True)
class Outcome:
    """What a run made, what it found the source to be, and its report."""

    outputs: tuple[OutputFile, ...]
    source: Mapping[str, Any]
    report: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Outcome:
        """Read what `to_json` gave. Raises ValueError for an output that would lie outside of the output folder."""
        outputs = tuple(OutputFile(**output) for output in values["outputs"])
        for output in outputs:
            # Told by a process that handles strangers' files, and opened by one that has the credentials.
            if output.filename in {"", ".."} or output.filename != Path(output.filename).name:
                raise ValueError(f"{output.filename!r} is not the name of an output")
        return cls(outputs=outputs, source=values["source"], report=values["report"])
