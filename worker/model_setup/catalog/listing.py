"""The models that can be added and those that are installed: as values, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from worker.engines.errors import EngineUnavailableError
from worker.engines.interface import EngineDescription
from worker.engines.model_folder import read_document
from worker.engines.registry import describe_folder
from worker.model_setup.catalog.known_models import KnownModel
from worker.model_setup.catalog.model_folders import model_names
from worker.model_setup.speed import TOLD_THREADS

NOT_RUN = "not run here with the publisher's weights"
"""The machines on which this project is developed cannot reach the publishers' downloads."""

READY, ABSENT, UNUSABLE = "ready", "absent", "unusable"


@dataclass(frozen=True)
class Line:
    """A model of the list. `state` is `ready`, `absent` or `unusable`, and `problem` says why it is unusable.

    Seconds are processor seconds for a minute of song; `measured_seconds_per_minute` are those that set-up measured on
    this machine, None where the model is not ready.
    """

    name: str
    title: str
    family: str
    author: str
    summary: str
    stems: tuple[str, ...]
    size_bytes: int | None
    scores: Mapping[str, float]
    scores_from: str
    seconds_per_minute: float | None
    measured_seconds_per_minute: float | None
    peak_bytes: int | None
    licence: str
    licence_source: str
    must_accept: bool
    state: str
    problem: str | None
    run_with_published_weights: bool
    parameters: Mapping[str, Any]


def list_models(models: Mapping[str, KnownModel], folder: Path) -> list[Line]:
    """Return a line for each known model, and for each other model in MODEL_FOLDER."""
    others = [name for name in model_names(folder) if name not in models]
    return [_known_line(model, folder) for model in models.values()] + [_other_line(name, folder) for name in others]


def to_json(lines: list[Line]) -> dict[str, Any]:
    """Return the list as plain values, ready for `json.dumps`."""
    return {"models": [asdict(line) for line in lines]}


def print_table(lines: list[Line], console: Console) -> None:
    """Print the list for people: a table, then the texts that do not fit into it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("name", "here", "stems", "MB", "vocals", "a minute takes", "memory"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(
            line.name,
            {READY: "yes", ABSENT: "-", UNUSABLE: "unusable"}[line.state],
            ", ".join(line.stems),
            "" if line.size_bytes is None else f"{line.size_bytes / 1e6:.0f}",
            _score(line.scores.get("vocals_sdr_db")),
            _cost(line),
            "" if line.peak_bytes is None else f"{line.peak_bytes / 1e6:.0f} MB",
        )
    console.print(table)
    console.print()
    for line in lines:
        _print_more(line, console)
    licences: dict[str, list[str]] = {}
    for line in lines:
        licences.setdefault(f"{line.licence} {line.licence_source}".strip(), []).append(line.name)
    for licence, names in licences.items():
        if licence:
            _say(f"\nLicence of {', '.join(names)}: {licence}", console)
    not_run = [line.name for line in lines if not line.run_with_published_weights]
    if not_run:
        _say(f"\n{', '.join(not_run)}: {NOT_RUN}.", console)
    _say(
        "\nColumns. here: whether it is in MODEL_FOLDER. vocals: published SDR. a minute takes: processor seconds for "
        "a minute of audio; `here` means measured on this machine. memory: peak of the process.\n"
        "Add one: stemqueue-models add NAME",
        console,
    )


def _print_more(line: Line, console: Console) -> None:
    _say(f"{line.name}: {line.title}{f', {line.author}' if line.author else ''}. {line.summary}", console)
    if line.problem:
        _say(f"  {line.problem}", console)
    if line.scores:
        values = ", ".join(f"{name.removesuffix('_sdr_db')} {value:.2f}" for name, value in line.scores.items())
        _say(f"  Published SDR: {values} dB on {line.scores_from or 'the songs that its README names'}.", console)


def _say(text: str, console: Console) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _known_line(model: KnownModel, folder: Path) -> Line:
    description, problem = _describe(folder / model.name)
    return Line(
        name=model.name,
        title=model.title,
        family=model.family,
        author=model.author,
        summary=model.summary,
        stems=model.stems,
        size_bytes=model.editions[0].size_bytes,
        scores=model.scores,
        scores_from=model.scores_from,
        seconds_per_minute=model.seconds_per_minute,
        measured_seconds_per_minute=_measured(description),
        peak_bytes=model.peak_bytes,
        licence=model.licence,
        licence_source=model.licence_source,
        must_accept=model.must_accept,
        state=_state(description, problem),
        problem=problem,
        run_with_published_weights=False,
        parameters=model.parameters,
    )


def _other_line(name: str, folder: Path) -> Line:
    description, problem = _describe(folder / name)
    return Line(
        name=name,
        title=description.title if description else name,
        family=_family(folder / name),
        author=description.author if description else "",
        summary=description.summary if description else "",
        stems=description.stems if description else (),
        size_bytes=None,
        scores=description.presets[0].scores if description else {},
        scores_from=description.scores_from if description else "",
        seconds_per_minute=None,
        measured_seconds_per_minute=_measured(description),
        peak_bytes=description.memory_bytes if description else None,
        licence=description.licence if description else "",
        licence_source="",
        must_accept=False,
        state=_state(description, problem),
        problem=problem,
        # `unet` is measured with Spleeter's own weights.
        run_with_published_weights=name == "unet",
        parameters={},
    )


def _describe(folder: Path) -> tuple[EngineDescription | None, str | None]:
    """Return the description of a model's engine, or why it cannot run. Both are None if there is no model."""
    if not folder.is_dir():
        return None, None
    try:
        return describe_folder(folder), None
    except EngineUnavailableError as error:
        return None, error.message


def _family(folder: Path) -> str:
    try:
        return str(read_document(folder)["family"])
    except EngineUnavailableError:
        return ""


def _state(description: EngineDescription | None, problem: str | None) -> str:
    return READY if description else UNUSABLE if problem else ABSENT


def _measured(description: EngineDescription | None) -> float | None:
    """Return the processor seconds for a minute of song, as set-up measured them."""
    if description is None or not description.real_time_factor:
        return None
    return round(60 * TOLD_THREADS / description.real_time_factor, 1)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} dB"


def _cost(line: Line) -> str:
    if line.measured_seconds_per_minute is not None:
        return f"{line.measured_seconds_per_minute:.3g} s here"
    return "" if line.seconds_per_minute is None else f"about {line.seconds_per_minute:.0f} s"
