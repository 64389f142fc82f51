"""One track, or an excerpt of it, through a mask network from end to end.

Owns the order of the steps: read, resample, mask, cross-fade, add up, resample back, subtract. Each
step's own matter is in the module of its name. Memory depends on the length of a segment, never on that
of the track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial

import numpy as np

from worker.engine.interface import FloatArray, Progress, Source
from worker.engine.unet.manifest import Manifest
from worker.engine.unet.masking import Masker
from worker.engine.unet.network import MaskNetwork
from worker.engine.unet.ordered_work import in_order
from worker.engine.unet.rates import SETTLING_SECONDS, ModelRateReader, RatePair, SourceRateWriter
from worker.engine.unet.segments import SegmentGrid


class Separation:
    """Separates one range of one source; iterate over it once.

    Parameters
    ----------
    manifest, network
        The network.
    source
        The mixture. The network reads it once, forwards; the remainder reads each block once more.
    wanted
        The range in samples of the source; not empty.
    """

    def __init__(self, manifest: Manifest, network: MaskNetwork, source: Source, wanted: range) -> None:
        self._manifest = manifest
        self._source = source
        self._wanted = wanted
        self._masker = Masker(manifest, network)
        self._grid = SegmentGrid.of(manifest)
        native = manifest.sample_rate_hz <= source.sample_rate_hz <= manifest.highest_rate_hz
        self._rates = RatePair(source.sample_rate_hz, source.sample_rate_hz if native else manifest.sample_rate_hz)

    def blocks(self, threads: int, progress: Progress) -> Iterator[FloatArray]:
        """Yield consecutive samples of all stems, shape (stems, channels, n), at the source's rate."""
        at = self._wanted.start
        for masked in self._masked_stems(threads, progress):
            n = masked.shape[2]
            if n:
                yield self._with_remainder(masked, at)
                at += n

    def _masked_stems(self, threads: int, progress: Progress) -> Iterator[FloatArray]:
        """Yield the masked stems at the source's rate, shape (masked stems, channels, n)."""
        rates, n_stems, channels = self._rates, len(self._manifest.masked_stems), self._source.channels
        writer = SourceRateWriter(rates, n_stems * channels, self._wanted)
        n_samples = rates.model_samples(self._source.n_samples)
        end = rates.model_samples(self._wanted.stop)
        if not rates.same:
            end = min(end + int(SETTLING_SECONDS * rates.model_hz), n_samples)
        model_range = range(writer.first_model_sample, end)
        segments = self._grid.segments(model_range.start, model_range.stop, n_samples)
        blocks = self._added_up(segments, threads)
        for segment, (first, y) in zip(segments, blocks, strict=True):
            kept = y[..., max(0, model_range.start - first) : max(0, model_range.stop - first)]
            progress((segment - segments.start + 1) / len(segments))
            out = writer.convert(kept.reshape(n_stems * channels, -1), last=segment == segments[-1])
            yield out.reshape(n_stems, channels, -1)

    def _added_up(self, segments: range, threads: int) -> Iterator[tuple[int, FloatArray]]:
        """Yield what each segment completes at the network's rate, and the place of its first sample."""
        lead_samples = self._grid.lead_samples
        lead: FloatArray | None = None
        for segment, y in zip(segments, in_order(self._jobs(segments), threads), strict=True):
            if lead is not None:
                y[..., :lead_samples] += lead
            n = y.shape[2] if segment == segments[-1] else y.shape[2] - lead_samples
            lead = y[..., n:]
            yield self._grid.first_sample(segment), y[..., :n]

    def _jobs(self, segments: range) -> Iterator[Callable[[], FloatArray]]:
        """Yield one job a segment, reading its samples as it is asked for."""
        grid = self._grid
        reader = ModelRateReader(self._source, self._rates, grid.first_sample(segments.start))
        y = reader.read(grid.segment_samples)
        shared = grid.segment_samples - grid.step_frames * grid.hop_length
        before: Future[FloatArray] | None = None
        for segment in segments:
            after: Future[FloatArray] = Future()
            yield partial(self._masker.separate, y, before, after, last=segment == segments[-1])
            before = after
            if segment != segments[-1]:
                y = np.concatenate([y[:, -shared:], reader.read(grid.segment_samples - shared)], axis=1)

    def _with_remainder(self, masked: FloatArray, at: int) -> FloatArray:
        """Return all stems in their order, the remainder being the mixture less the masked ones."""
        manifest = self._manifest
        if manifest.remainder is None:
            return masked
        stems = np.empty((len(manifest.stems), *masked.shape[1:]), np.float32)
        remainder = manifest.stems.index(manifest.remainder)
        stems[np.arange(len(stems)) != remainder] = masked
        stems[remainder] = self._source.read(at, at + masked.shape[2])
        for stem in masked:
            stems[remainder] -= stem
        return stems
