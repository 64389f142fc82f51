"""The input and the output of a pipeline run: plain, frozen values that pass through a pipe as JSON.

The supervisor, the child and `stemqueue-separate` exchange them with the pipeline. Nothing here knows of jobs, queues
or storage.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.audio.mixes import Mix

if TYPE_CHECKING:
    # The child needs no settings, and should not spend time on their imports.
    from shared.settings import Settings

ReportProgress = Callable[[str, float], None]
"""Called with a stage's name and the fraction of that stage that is done, 0 to 1; cheap to call often."""

ReportProbed = Callable[[Mapping[str, Any]], None]
"""Called once with what the source claims to be, before it is decoded."""

STAGE_SHARES: Mapping[str, float] = {
    "probe": 0.01,
    "decode": 0.05,
    "separate": 0.74,
    "encode": 0.14,
    "illustrate": 0.06,
}
"""The stages in order, each with its expected share of a run's time. The shares sum to 1."""


def overall_progress(stage: str, fraction: float) -> float:
    """Return the progress of the whole run, 0 to 1, when this fraction of this stage is done."""
    names = list(STAGE_SHARES)
    before = sum(STAGE_SHARES[name] for name in names[: names.index(stage)])
    return min(1.0, before + STAGE_SHARES[stage] * min(max(fraction, 0.0), 1.0))


@dataclass(frozen=True)
class Limits:
    """The resource limits of one run. The defaults are those of the settings."""

    max_audio_seconds: float = 4 * 3600.0
    max_scratch_bytes: int = 13_000_000_000
    threads: int = 1

    @classmethod
    def from_settings(cls, settings: Settings, *, threads: int | None = None) -> Limits:
        """Return the limits that the settings give a job, each from the setting of its name.

        `threads` replaces their number of threads.
        """
        limits = {limit.name: getattr(settings, limit.name) for limit in fields(cls) if limit.name != "threads"}
        return cls(**limits, threads=threads or threads_per_job(settings))


def threads_per_job(settings: Settings) -> int:
    """Return how many threads a job may use: the setting, or the usable cores divided by the slots."""
    if settings.threads_per_job is not None:
        return settings.threads_per_job
    return max(1, len(os.sched_getaffinity(0)) // settings.worker_slots)


@dataclass(frozen=True)
class Work:
    """One separation: what to read, what to make, and where to write it.

    `input_path` may have any name; `source_filename` is the name that the owner gave the file. `output_folder` receives
    the files that the outcome lists; `scratch_folder` is emptied at the end. `extra_engines` names modules of the
    operator with further engines. If `stems` is None, all stems of the engine are made. `stem_paths`, if there are
    any, are the files of stems by name: nothing is separated, and `mixes` are made of these. `format_options` holds
    `bit_depth` or `bitrate_kbps`. `audio_stream` is the number of the audio stream to separate, counted from 1; None:
    the one that a player would choose. `analyse_music` is whether tempo, beats and key are looked for. The song may be
    `source_output` of the job `source_job_id`; the report has both.
    """

    input_path: str
    output_folder: str
    scratch_folder: str
    source_filename: str
    engine: str
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stems: tuple[str, ...] | None = None
    mixes: tuple[Mix, ...] = ()
    stem_paths: Mapping[str, str] = field(default_factory=dict)
    format: str = "flac"
    format_options: Mapping[str, Any] = field(default_factory=dict)
    excerpt_start_seconds: float | None = None
    excerpt_duration_seconds: float | None = None
    audio_stream: int | None = None
    limits: Limits = field(default_factory=Limits)
    model_folder: str | None = None
    extra_engines: tuple[str, ...] = ()
    ffmpeg_path: str | None = None
    analyse_music: bool = True
    source_job_id: str | None = None
    source_output: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Work:
        """Return the work that `to_json` described."""
        stems = values["stems"]
        return cls(
            **{
                **values,
                "limits": Limits(**values["limits"]),
                "stems": None if stems is None else tuple(stems),
                "mixes": tuple(Mix(**mix) for mix in values["mixes"]),
                "extra_engines": tuple(values["extra_engines"]),
            }
        )


@dataclass(frozen=True)
class ProducedFile:
    """One file in the output folder.

    `kind` is `stem`, `mix`, `picture`, `waveform`, `beats` or `report`; `name` is unique within its kind. `details`
    holds, for a stem or mix, its measurements; for a picture, the meaning of its axes; for the report, tempo and
    key.
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
) -> ProducedFile:
    """Return the description of a finished file, with its size and SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ProducedFile(name, kind, path.name, content_type, path.stat().st_size, digest, details or {})


@dataclass(frozen=True)
class Outcome:
    """The result of a run: its output files, what was found out about the source, and the report."""

    outputs: tuple[ProducedFile, ...]
    source: Mapping[str, Any]
    report: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Outcome:
        """Return the outcome that `to_json` described. Raises ValueError for an output outside of its folder."""
        outputs = tuple(ProducedFile(**output) for output in values["outputs"])
        for output in outputs:
            # The name comes from a process that handles strangers' files; a process with credentials opens the file.
            if output.filename in {"", ".."} or output.filename != Path(output.filename).name:
                raise ValueError(f"{output.filename!r} is not a valid name of an output file")
        return cls(outputs=outputs, source=values["source"], report=values["report"])
