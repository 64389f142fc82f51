"""What every model folder has: a `manifest.json` that names the model's family, and files with known digests.

A family is a kind of network. It decides which other fields the manifest has, and which engine runs the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from worker.engines.errors import EngineUnavailableError

MANIFEST_NAME = "manifest.json"

MANIFEST_FORMAT = 1
"""Raise this when a field changes its meaning: older model folders are then refused and set up again."""

DEFAULT_FAMILY = "mask"
"""The family of manifests that name none: model folders were made before there were families."""

MAX_MANIFEST_BYTES = 1 << 20

DIGESTS_KEPT = 64
"""How many files' digests a process remembers: enough for several models."""


@dataclass(frozen=True, kw_only=True)
class ModelManifest:
    """What the manifests of all families have.

    Stems. `stems` are those that the engine yields, in order. `remainder` is one of them, or None: it is not estimated,
    but is the mixture minus the others. The networks always take `channels` channels at `sample_rate_hz`.

    Files. `files` maps file names to their SHA-256; `networks` are the names of those with the networks, in the order
    that the family wants. They compute in `precision`. `built_for` identifies the machine that the files were made for;
    `origin` says where the weights come from. `scores` are medians in dB; `real_time_factor` was measured at set-up.
    """

    name: str
    version: str
    title: str
    summary: str
    licence: str
    sample_rate_hz: int
    channels: int
    stems: tuple[str, ...]
    remainder: str | None
    networks: tuple[str, ...]
    files: Mapping[str, str]
    precision: str = "float32"
    scores: Mapping[str, float] = field(default_factory=dict)
    real_time_factor: float | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    built_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def estimated_stems(self) -> tuple[str, ...]:
        """The stems that networks estimate, in order: all except the remainder."""
        return tuple(stem for stem in self.stems if stem != self.remainder)

    def check_values(self) -> None:
        """Raise ValueError if the values contradict each other."""
        if len(set(self.stems)) != len(self.stems) or not self.estimated_stems:
            raise ValueError("stems must differ, and at least one must be estimated")
        if self.remainder is not None and self.remainder not in self.stems:
            raise ValueError("the remainder must be one of the stems")
        if self.channels < 1 or self.sample_rate_hz < 1:
            raise ValueError("channels and sample_rate_hz must be positive")
        if not self.networks or not set(self.networks) <= set(self.files):
            raise ValueError("networks must be listed in files")


Manifest = TypeVar("Manifest", bound=ModelManifest)


def read_document(folder: Path) -> dict[str, Any]:
    """Return the manifest of a model folder as JSON, with its `family`. The other files are not read.

    Raises EngineUnavailableError if there is no manifest, or if it has another format.
    """
    try:
        with (folder / MANIFEST_NAME).open("rb") as file:
            document = json.loads(file.read(MAX_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineUnavailableError(f"No model is set up in {folder}.") from error
    if not isinstance(document, dict) or document.pop("format", None) != MANIFEST_FORMAT:
        raise EngineUnavailableError(f"The model in {folder} has another format; set it up again.")
    document.setdefault("family", DEFAULT_FAMILY)
    return document


def manifest_from_document(document: Mapping[str, Any], kind: type[Manifest], folder: Path) -> Manifest:
    """Return a manifest as an instance of its family's class. Members that the class does not have are ignored.

    Raises EngineUnavailableError if the manifest is not valid.
    """
    known = {item.name for item in fields(kind)}
    try:
        values = {name: document[name] for name in document if name in known}
        for name in ("stems", "networks"):
            values[name] = tuple(values[name])
        manifest = kind(**values)
        manifest.check_values()
    except (KeyError, TypeError, ValueError) as error:
        raise EngineUnavailableError(f"The manifest in {folder} is not valid; set the model up again.") from error
    return manifest


def write_document(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the manifest into a model folder."""
    text = json.dumps({"format": MANIFEST_FORMAT, **document}, indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def verify_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raise EngineUnavailableError unless every file of the model exists and has its digest.

    `files` maps file names to SHA-256 digests. A file that has not changed since this process read it is not read
    again, which saves 40 ms for each track.
    """
    for name, digest in files.items():
        if Path(name).name != name:
            raise EngineUnavailableError(f"The manifest in {folder} names a file outside its folder.")
        try:
            found = _digest_of(folder / name)
        except OSError as error:
            raise EngineUnavailableError(f"The model in {folder} lacks {name}; set it up again.") from error
        if found != digest:
            raise EngineUnavailableError(f"{name} in {folder} is damaged; remove the folder and set it up again.")


def size_of_files(folder: Path, names: Iterable[str]) -> int:
    """Return the bytes of the files that are there; `verify_files` finds those that are missing."""
    paths = [folder / Path(name).name for name in names]
    return sum(path.stat().st_size for path in paths if path.is_file())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises OSError if the file cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(path: Path) -> str:
    found = path.stat()
    return _digest_of_state(path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(DIGESTS_KEPT)
def _digest_of_state(path: Path, _state: tuple[int, ...]) -> str:
    return sha256_of(path)
