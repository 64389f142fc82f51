"""Separates one track, or an excerpt of it, from the source's samples to the stems' samples.

Memory depends on the length of a segment, never on that of the track.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worker.engines.fixed_rates import SourceRatePieces, read_at_model_rate
from worker.engines.interface import AudioSource, FloatArray, Progress
from worker.engines.rates import RatePair
from worker.engines.segments.channel_groups import separate_channels
from worker.engines.segments.family import Feed, SegmentNetwork
from worker.engines.segments.grid import SegmentGrid
from worker.engines.segments.manifest import SegmentManifest
from worker.engines.segments.overlap import OverlapSum


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to separate. `rest` is the stem that is the mixture minus the others, if there is one."""

    manifest: SegmentManifest
    grid: SegmentGrid
    network: SegmentNetwork
    rest: str | None


class SegmentSeparation:
    """Separates one range of one source, once.

    Parameters
    ----------
    model
        The loaded model.
    feed
        The level at which the song is fed.
    source
        The mixture. Each segment reads its own samples, and the remainder reads each block once more.
    wanted
        The range in samples of the source; not empty.
    """

    def __init__(self, model: LoadedModel, feed: Feed, source: AudioSource, wanted: range) -> None:
        self._manifest = model.manifest
        self._grid = model.grid
        self._network = model.network
        self._rest = model.rest
        self._feed = feed
        self._source = source
        self._wanted = wanted
        self._rates = RatePair(source.sample_rate_hz, model.manifest.sample_rate_hz)

    def separate_blocks(self, progress: Progress) -> Iterator[FloatArray]:
        """Yield consecutive samples of all stems, shape (stems, channels, n), at the source's rate."""
        start = self._wanted.start
        pieces = SourceRatePieces(self._rates, self._wanted, self._source.n_samples, self._grid.hop)
        for estimated in self._estimated_stems(pieces.needed, progress):
            for block in pieces.convert_block(estimated):
                if block.shape[-1]:
                    yield self._with_remainder(block, start)
                    start += block.shape[-1]

    def _estimated_stems(self, needed: range, progress: Progress) -> Iterator[FloatArray]:
        """Yield the estimated stems at the network's rate, from the first needed sample to the last."""
        n_samples = self._rates.model_samples(self._source.n_samples)
        n_stems = len(self._manifest.estimated_stems)
        overlap = OverlapSum(self._grid, (n_stems, self._source.channels), needed.start)
        numbers = self._grid.touching(needed, n_samples)
        for number in numbers:
            segment = self._grid.segment(number, n_samples)
            y = read_at_model_rate(self._source, self._rates, segment.first, self._grid.segment_samples)

            def tell(fraction: float, done: int = number - numbers.start) -> None:
                progress((done + fraction) / len(numbers))

            inside = slice(max(0, -segment.first), min(self._grid.segment_samples, n_samples - segment.first))
            result = separate_channels(
                self._network,
                y,
                inside=inside,
                width=self._manifest.channels,
                n_stems=n_stems,
                feed=self._feed,
                progress=tell,
            )
            overlap.add(segment, result)
            yield overlap.take(
                needed.stop if number == numbers[-1] else min(needed.stop, (number + 1) * self._grid.hop)
            )

    def _with_remainder(self, estimated: FloatArray, start: int) -> FloatArray:
        """Return all stems in their order. The rest is the mixture minus the other stems."""
        if self._rest is None:
            return estimated
        names, of_network = self._manifest.stems, self._manifest.estimated_stems
        stems = np.empty((len(names), *estimated.shape[1:]), np.float32)
        stems[[names.index(stem) for stem in of_network]] = estimated
        rest = names.index(self._rest)
        stems[rest] = self._source.read_samples(start, start + estimated.shape[-1])
        for number in range(len(names)):
            if number != rest:
                stems[rest] -= stems[number]
        return stems
