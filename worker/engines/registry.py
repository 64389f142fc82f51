"""The engines that can run here: for each its name, its description, and a function that creates it.

The only place that names engines. An engine whose packages or model are missing is not in the list.
Run as a module it prints the descriptions as JSON: the worker's parent process asks this way, because it
never imports the signal processing itself.

    python -m worker.engines.registry --model-folder FOLDER [--extra MODULE]... [ENGINE...]
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from worker.engines import htdemucs, mdx, repetition, unet
from worker.engines.errors import EngineUnavailableError
from worker.engines.interface import EngineDescription, SeparationEngine
from worker.engines.model_folder import MANIFEST_NAME, read_document

MakeEngine = Callable[[str | None, Mapping[str, Any]], SeparationEngine]
"""Takes a preset (None: the default one) and parameters; raises InvalidParameterError for what it does not know."""


@dataclass(frozen=True)
class RegisteredEngine:
    """An engine that can run here."""

    description: EngineDescription
    make: MakeEngine


Registry = Mapping[str, RegisteredEngine]


class ModelFamily(Protocol):
    """A package that makes engines of model folders. Importing it must load nothing large."""

    def describe(self, model_folder: Path) -> EngineDescription:
        """Return the description of a folder's engine. Raises EngineUnavailableError if it cannot run here."""

    def create(self, preset: str | None, parameters: Mapping[str, Any], *, model_folder: Path) -> SeparationEngine:
        """Return a folder's engine. Raises EngineUnavailableError or InvalidParameterError."""


FAMILIES: Mapping[str, ModelFamily] = {"mask": unet, "mdx": mdx, "htdemucs": htdemucs}
"""The package for each `family` that a manifest may name."""


def engines_here(*, model_folder: Path | None = None, extra_modules: Sequence[str] = ()) -> Registry:
    """Return the engines that can run on this machine; those with a network look for it in `model_folder`.

    An extra module holds an engine of the operator's own: `DESCRIPTION`, and `create` as in
    `worker.engines.repetition`.
    """
    engines = [RegisteredEngine(repetition.DESCRIPTION, repetition.create), *_networks(model_folder)]
    for name in extra_modules:
        module = importlib.import_module(name)
        engines.append(RegisteredEngine(module.DESCRIPTION, module.create))
    return {engine.description.name: engine for engine in engines}


def _networks(model_folder: Path | None) -> Iterator[RegisteredEngine]:
    """Yield an engine for each model that was set up; one that cannot run here is left out."""
    if model_folder is None or not model_folder.is_dir():
        return
    for folder in sorted(model_folder.iterdir()):
        try:
            if not (folder / MANIFEST_NAME).exists():
                continue
            family = _family_of(folder)
            description = family.describe(folder)
        except EngineUnavailableError as error:
            sys.stderr.write(f"{folder.name} is left out: {error.message}\n")
        except Exception as error:  # noqa: BLE001 - one bad folder must not take the other engines down
            sys.stderr.write(f"{folder.name} is left out: {type(error).__name__}: {error}\n")
        else:
            yield RegisteredEngine(description, partial(family.create, model_folder=folder))


def describe_folder(folder: Path) -> EngineDescription:
    """Return the description of the engine in a model folder. Raises EngineUnavailableError if it cannot run here."""
    return _family_of(folder).describe(folder)


def engine_in_folder(folder: Path) -> SeparationEngine:
    """Return the engine in a model folder, with its default preset. Raises EngineUnavailableError."""
    return _family_of(folder).create(None, {}, model_folder=folder)


def _family_of(folder: Path) -> ModelFamily:
    name = read_document(folder)["family"]
    if not isinstance(name, str) or name not in FAMILIES:
        raise EngineUnavailableError(f"The model in {folder} is of the unknown family {name!r}.")
    return FAMILIES[name]


def make_engine(registry: Registry, name: str, preset: str | None, parameters: Mapping[str, Any]) -> SeparationEngine:
    """Return an engine, ready to separate. Raises EngineUnavailableError or InvalidParameterError."""
    if name not in registry:
        raise EngineUnavailableError(f"The engine {name!r} cannot run here; there are: {', '.join(registry)}.")
    return registry[name].make(preset, parameters)


def main() -> None:
    """Print the descriptions of the engines that run here, or of those named that do."""
    parser = argparse.ArgumentParser(description="Print the engines that can run here, as JSON.")
    parser.add_argument("--model-folder", type=Path)
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("engines", nargs="*")
    asked = parser.parse_args()
    engines = engines_here(model_folder=asked.model_folder, extra_modules=asked.extra)
    chosen = [e for name, e in engines.items() if not asked.engines or name in asked.engines]
    sys.stdout.write(json.dumps([asdict(engine.description) for engine in chosen]) + "\n")


if __name__ == "__main__":
    main()
