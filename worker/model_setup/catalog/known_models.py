"""The table of known models: what known_models.toml says, as frozen values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from worker.model_setup.errors import ModelSetupError

TABLE = Path(__file__).with_name("known_models.toml")

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""The names of models: those of engines, and of folders in MODEL_FOLDER."""

TAKEN_NAMES = frozenset({"unet", "repetition", "numba", "matplotlib"})
"""Names of MODEL_FOLDER and of the engines that no other model may have."""


@dataclass(frozen=True)
class PublishedFile:
    """A file of weights. It is the right one if it has this SHA-256 or, where none is known, this MD5 of its tail.

    `addresses` are tried in order.
    """

    name: str
    size_bytes: int
    addresses: tuple[str, ...]
    sha256: str | None = None
    tail_md5: str | None = None


@dataclass(frozen=True)
class Edition:
    """The files of a model in one of the formats that it is published in, in the order that its family wants."""

    files: tuple[PublishedFile, ...]

    @property
    def size_bytes(self) -> int:
        """How much there is to download."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class KnownModel:
    """A model that can be added by its name.

    `licence` has its authors' words, and `licence_source` the address where they stand. `scores` are medians in dB over
    the songs of `scores_from`. `seconds_per_minute` is processor time for a minute of song, and `peak_bytes` the memory
    of the process; None where they are not known. The first of the `editions` that can be fetched is built.
    """

    name: str
    family: str
    title: str
    author: str
    summary: str
    stems: tuple[str, ...]
    licence: str
    licence_source: str
    must_accept: bool
    editions: tuple[Edition, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    scores_from: str = ""
    seconds_per_minute: float | None = None
    peak_bytes: int | None = None


def known_models(table: Path = TABLE) -> Mapping[str, KnownModel]:
    """Return the known models by name, in the order of the table. Raises ModelSetupError if the table is not valid."""
    return _read_table(table, table.stat().st_mtime_ns)


@lru_cache(4)
def _read_table(table: Path, _changed: int) -> Mapping[str, KnownModel]:
    try:
        with table.open("rb") as file:
            models = [_model(item) for item in tomllib.load(file)["model"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelSetupError(f"The table of models {table.name} is not valid: {error}.") from error
    return {model.name: model for model in models}


def find_model(name: str, models: Mapping[str, KnownModel]) -> KnownModel:
    """Return a known model. Raises ModelSetupError, which names those that are known."""
    if name not in models:
        raise ModelSetupError(f"There is no known model {name!r}; there are: {', '.join(models)}.")
    return models[name]


def check_name(name: str) -> str:
    """Return the name of a model of the user's own. Raises ModelSetupError if it cannot be one."""
    if not NAME.fullmatch(name):
        raise ModelSetupError(
            "A model's name has at most 63 lower-case letters, digits, - and _, and begins with a letter or digit."
        )
    if name in TAKEN_NAMES:
        raise ModelSetupError(f"The name {name!r} is taken; choose another.")
    return name


def _model(values: Mapping[str, Any]) -> KnownModel:
    editions = tuple(Edition(tuple(_file(file) for file in item["files"])) for item in values["editions"])
    model = KnownModel(**{**values, "stems": tuple(values["stems"]), "editions": editions})
    check_name(model.name)
    return model


def _file(values: Mapping[str, Any]) -> PublishedFile:
    file = PublishedFile(**{**values, "addresses": tuple(values["addresses"])})
    if not (file.sha256 or file.tail_md5) or not file.addresses or Path(file.name).name != file.name:
        raise ValueError(f"{file.name} needs a plain name, a digest and an address")
    return file
