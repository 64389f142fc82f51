"""The server's responses as typed values, and the JSON of a job that is asked for.

Unknown fields of newer servers are ignored; `raw` contains all fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.audio.mixes import Mix, mix_json
from shared.batches.manifest_fields import read_excerpt

ENDED = frozenset({"succeeded", "failed", "canceled"})


@dataclass(frozen=True)
class OutputFile:
    """One output file of a job. `url` is a path of the API."""

    name: str
    url: str
    filename: str
    size_bytes: int
    sha256: str

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> OutputFile:
        """Parse one of a job's outputs."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class JobError:
    """Why a job failed."""

    code: str
    message: str


@dataclass(frozen=True)
class Job:
    """A job's state at the time of a response."""

    id: str
    state: str
    stage: str | None
    progress: float
    attempt: int
    queue_position: int | None
    eta_seconds: float | None
    engine: str
    preset: str | None
    filename: str
    stems: tuple[OutputFile, ...]
    mixes: tuple[OutputFile, ...]
    pictures: tuple[OutputFile, ...]
    report: OutputFile | None
    beats: OutputFile | None
    music: Mapping[str, Any] | None
    error: JobError | None
    created_at: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def waiting_for(self) -> str | None:
        """Why the job waits, apart from its place in the queue: `storage`, `engine`, `source`, or None."""
        return self.raw.get("waiting_for")

    @property
    def next_jobs(self) -> list[tuple[str, str]]:
        """The jobs that were submitted with it to continue it: each one's id, and the output that it continues with."""
        return [(job["job_id"], job["output"]) for job in self.raw.get("then", ())]

    @property
    def ended(self) -> bool:
        """Whether the job is succeeded, failed or canceled."""
        return self.state in ENDED

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Job:
        """Parse a job."""
        error, report, beats = values["error"], values["report"], values.get("beats")
        return cls(
            id=values["id"],
            state=values["state"],
            stage=values["stage"],
            progress=values["progress"],
            attempt=values["attempt"],
            queue_position=values["queue_position"],
            eta_seconds=values["eta_seconds"],
            engine=values["engine"],
            preset=values["preset"],
            filename=values["source"]["filename"],
            stems=tuple(OutputFile.from_json(s) for s in values["stems"]),
            mixes=tuple(OutputFile.from_json(m) for m in values.get("mixes", ())),
            pictures=tuple(OutputFile.from_json(p) for p in values["pictures"]),
            report=OutputFile.from_json(report) if report else None,
            beats=OutputFile.from_json(beats) if beats else None,
            music=values.get("music"),
            error=JobError(error["code"], error["message"]) if error else None,
            created_at=values["times"]["created_at"],
            raw=values,
        )


@dataclass(frozen=True)
class Engine:
    """An engine of the server."""

    name: str
    title: str
    summary: str
    stems: tuple[str, ...]
    presets: tuple[str, ...]
    is_default: bool
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, default: str) -> Engine:
        """Parse an engine."""
        return cls(
            name=values["name"],
            title=values["title"],
            summary=values["summary"],
            stems=tuple(values["stems"]),
            presets=tuple(p["name"] for p in values["presets"]),
            is_default=values["name"] == default,
            raw=values,
        )


@dataclass(frozen=True)
class Excerpt:
    """A part of a track; without a duration it extends to the end."""

    start_seconds: float = 0.0
    duration_seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Excerpt:
        """Parse `90+20` (20 s from 1:30 on) or `90+` (to the end). Raises ValueError."""
        return cls(*read_excerpt(text))


def job_json(
    *,
    mixes: Sequence[Mix | str] | None = None,
    bit_depth: int | None = None,
    bitrate_kbps: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return a job's options as the API has them, without those that are None: the server chooses these."""
    encoding = {"bit_depth": bit_depth, "bitrate_kbps": bitrate_kbps}
    wanted = {
        **options,
        "format_options": {name: value for name, value in encoding.items() if value is not None} or None,
        "mixes": [mix if isinstance(mix, str) else mix_json(mix) for mix in mixes or ()] or None,
    }
    return {name: value for name, value in wanted.items() if value is not None}
