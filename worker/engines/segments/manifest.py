"""The manifest of a model that separates a song in segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from worker.engines.errors import EngineUnavailableError
from worker.engines.model_folder import read_document, write_document


@dataclass(frozen=True)
class SegmentManifest:
    """A model that turns segments of a song into the stems of these segments.

    Stems. `stems` are those that the engine yields, in order. `remainder` is one of them, or None: it is not estimated,
    but is the mixture less the others.

    Networks. `networks` are the names of the graphs for onnxruntime, in the order that the family wants. They take
    `channels` channels at `sample_rate_hz`. `settings` are the numbers that the family needs, such as `n_fft`.
    `activation_bytes` is what the networks hold at the peak beside their weights, measured at set-up.

    Files. `files` maps file names to their SHA-256. `built_for` identifies the machine that the files were made for;
    `origin` says where the weights come from. `scores` are published medians in dB, and `scores_from` names their test
    set; `real_time_factor` was measured at set-up.
    """

    family: str
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
    settings: Mapping[str, Any] = field(default_factory=dict)
    activation_bytes: int = 600_000_000
    precision: str = "float32"
    scores: Mapping[str, float] = field(default_factory=dict)
    scores_from: str = ""
    real_time_factor: float | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    built_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def estimated_stems(self) -> tuple[str, ...]:
        """The stems that the network estimates, in order: all except the remainder."""
        return tuple(stem for stem in self.stems if stem != self.remainder)


def read_segment_manifest(folder: Path) -> SegmentManifest:
    """Return the manifest of a model folder. The other files are not read, and `settings` are not checked.

    Raises EngineUnavailableError if there is none, or if it is not valid.
    """
    document = read_document(folder)
    known = {item.name for item in fields(SegmentManifest)}
    try:
        values = {name: document[name] for name in document if name in known}
        values["stems"] = tuple(values["stems"])
        values["networks"] = tuple(values["networks"])
        manifest = SegmentManifest(**values)
        _check_values(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise EngineUnavailableError(f"The manifest in {folder} is not valid; set the model up again.") from error
    return manifest


def write_segment_manifest(folder: Path, manifest: SegmentManifest) -> None:
    """Write the manifest into a model folder."""
    write_document(folder, asdict(manifest))


def _check_values(manifest: SegmentManifest) -> None:
    """Raise ValueError if the values contradict each other."""
    if len(set(manifest.stems)) != len(manifest.stems) or not manifest.estimated_stems:
        raise ValueError("stems must differ, and at least one must be estimated")
    if manifest.remainder is not None and manifest.remainder not in manifest.stems:
        raise ValueError("the remainder must be one of the stems")
    if manifest.channels < 1 or manifest.sample_rate_hz < 1000 or manifest.activation_bytes < 0:
        raise ValueError("channels, sample_rate_hz and activation_bytes must be positive")
    if not manifest.networks or not set(manifest.networks) <= set(manifest.files):
        raise ValueError("networks must be listed in files")
