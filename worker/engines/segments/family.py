"""What a family of segment networks must offer: the only part that differs from one kind of network to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.engines.interface import FloatArray, Progress
from worker.engines.level import SongLevel
from worker.engines.segments.grid import SegmentGrid
from worker.engines.segments.manifest import SegmentManifest


@dataclass(frozen=True)
class Feed:
    """How a song's samples are brought to the level that a network knows: it reads `(y - offset) * gain`.

    The stems are divided by `gain` afterwards. `offset` is not added to any stem: it stays in the remainder.
    """

    gain: float = 1.0
    offset: float = 0.0


class SegmentNetwork(Protocol):
    """A loaded model. It keeps nothing from one segment to the next."""

    def separate_segment(self, y: FloatArray, progress: Progress) -> FloatArray:
        """Return the stems of one segment.

        Parameters
        ----------
        y : ndarray, shape (manifest.channels, grid.segment_samples), float32
            The segment at the level of `Feed`. Never all zero. Must not be changed.
        progress
            Is called with the fraction of this segment that is done, several times a second. It may raise; then the
            network stops as soon as it can, and the error passes on.

        Returns
        -------
        ndarray, shape (len(manifest.estimated_stems), manifest.channels, grid.segment_samples), float32
            The estimated stems in the order of the manifest. `grid.margin` samples at each end are not used.
        """


class SegmentFamily(Protocol):
    """A kind of segment network. A module or an object without state."""

    @property
    def name(self) -> str:
        """The `family` of its manifests."""

    def check_settings(self, manifest: SegmentManifest) -> None:
        """Raise ValueError (KeyError, TypeError) if the manifest's settings, networks or stems are not possible."""

    def grid(self, manifest: SegmentManifest) -> SegmentGrid:
        """Return how songs are cut into segments for a model. Loads nothing."""

    def feed(self, level: SongLevel) -> Feed:
        """Return how a song of this level is fed to the networks."""

    def load(self, folder: Path, manifest: SegmentManifest, threads: int) -> SegmentNetwork:
        """Load the networks of a model folder, whose files have been verified, for this number of threads.

        The threads must not change a bit of the result. Raises EngineUnavailableError.
        """
