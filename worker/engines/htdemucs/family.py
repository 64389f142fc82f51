"""The family `htdemucs`: how songs are cut for HT-Demucs, at which level they are fed, and how its networks are loaded.

`settings` of the manifest has `segment_samples`, the length of a segment. There is one network for all stems, or one
for each stem.
"""

from __future__ import annotations

from pathlib import Path

from worker.engines.htdemucs.network import HTDemucsNetwork
from worker.engines.htdemucs.spectrum import CHANNELS
from worker.engines.level import SongLevel
from worker.engines.segments.family import Feed
from worker.engines.segments.grid import SegmentGrid, triangle_weights
from worker.engines.segments.manifest import SegmentManifest

SAMPLE_RATE_HZ = 44_100

OVERLAP = 0.25
"""The part of a segment that the next one begins before its end, as in the reference."""

SHORTEST_SAMPLES, LONGEST_SAMPLES = SAMPLE_RATE_HZ // 4, 12 * SAMPLE_RATE_HZ

TINY_DEVIATION = 1e-8
"""Added to a song's deviation, as in the reference, so that silence is not divided by zero."""


class HTDemucsFamily:
    """What `worker.engines.segments` asks of a family."""

    name = "htdemucs"

    def check_settings(self, manifest: SegmentManifest) -> None:
        """Raise ValueError, KeyError or TypeError if the settings are not those of HT-Demucs."""
        samples = manifest.settings["segment_samples"]
        if type(samples) is not int or not SHORTEST_SAMPLES <= samples <= LONGEST_SAMPLES:
            raise ValueError(f"segment_samples must be from {SHORTEST_SAMPLES} to {LONGEST_SAMPLES}")
        if manifest.channels != CHANNELS or manifest.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ValueError("an HT-Demucs takes stereo at 44.1 kHz")
        if len(manifest.networks) not in {1, len(manifest.estimated_stems)}:
            raise ValueError("there must be one network for all stems, or one for each")

    def grid(self, manifest: SegmentManifest) -> SegmentGrid:
        """Return the segments of the reference's `apply_model`."""
        samples = manifest.settings["segment_samples"]
        return SegmentGrid(samples, int((1 - OVERLAP) * samples), triangle_weights(samples), centre_last=True)

    def feed(self, level: SongLevel) -> Feed:
        """Return the feed for a song: its mean becomes 0 and its deviation 1."""
        return Feed(1 / (level.deviation + TINY_DEVIATION), level.mean)

    def load(self, folder: Path, manifest: SegmentManifest, threads: int) -> HTDemucsNetwork:
        """Load the networks. Raises EngineUnavailableError."""
        paths = [folder / name for name in manifest.networks]
        return HTDemucsNetwork(paths, manifest.settings["segment_samples"], threads)


FAMILY = HTDemucsFamily()
