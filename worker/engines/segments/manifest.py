"""The manifest of a model that separates a song in segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worker.engines.model_folder import ModelManifest, manifest_from_document, read_document, write_document


@dataclass(frozen=True, kw_only=True)
class SegmentManifest(ModelManifest):
    """A model that turns segments of a song into the stems of these segments, with graphs for onnxruntime or OpenVINO
    (the ending of their files tells which).

    `settings` are the numbers that the family needs, such as `n_fft`. `activation_bytes` is the peak memory of the
    networks in addition to their weights, measured at set-up. The `scores` are published, and `scores_from` names
    their test set.
    """

    family: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    activation_bytes: int = 600_000_000
    scores_from: str = ""

    def check_values(self) -> None:
        """Raise ValueError if the values contradict each other."""
        super().check_values()
        if self.sample_rate_hz < 1000 or self.activation_bytes < 0:
            raise ValueError("sample_rate_hz must be at least 1000, and activation_bytes positive")


def read_segment_manifest(folder: Path) -> SegmentManifest:
    """Return the manifest of a model folder. The other files are not read, and `settings` are not checked.

    Raises EngineUnavailableError if there is none, or if it is not valid.
    """
    return manifest_from_document(read_document(folder), SegmentManifest, folder)


def write_segment_manifest(folder: Path, manifest: SegmentManifest) -> None:
    """Write the manifest into a model folder."""
    write_document(folder, asdict(manifest))
