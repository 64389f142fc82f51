"""Separates one track, or an excerpt of it, from the source's samples to the stems' samples.

The steps, each in a module of its own: read and resample (`rates`), analyse, infer, mask and synthesise (`chunks`), add
up overlapping chunks (here), resample back (`rates`), and subtract for the remainder (here). Memory depends on the
length of a chunk, never on that of the track.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from worker.engines.interface import AudioSource, FloatArray, Progress
from worker.engines.rates import SETTLING_SECONDS, ModelRateReader, RatePair, SourceRateWriter
from worker.engines.unet.chunk_grid import ChunkGrid
from worker.engines.unet.chunks import Chunk, ChunkMasker
from worker.engines.unet.dependent_tasks import DependentTask, run_in_order
from worker.engines.unet.model_manifest import MaskManifest
from worker.engines.unet.network import Model


class Separation:
    """Separates one range of one source, once.

    Parameters
    ----------
    manifest, model
        The networks.
    source
        The mixture. The networks read it once, forwards; the remainder reads each block once more.
    wanted
        The range in samples of the source; not empty.
    gain
        What brings the source to the level that the networks know.
    """

    def __init__(
        self, manifest: MaskManifest, model: Model, source: AudioSource, wanted: range, *, gain: float
    ) -> None:
        self._manifest = manifest
        self._source = source
        self._wanted = wanted
        self._masker = ChunkMasker(manifest, model, source.channels, gain)
        self._grid = ChunkGrid.from_manifest(manifest)
        native = manifest.sample_rate_hz <= source.sample_rate_hz <= manifest.highest_rate_hz
        self._rates = RatePair(source.sample_rate_hz, source.sample_rate_hz if native else manifest.sample_rate_hz)

    def separate_blocks(self, threads: int, progress: Progress) -> Iterator[FloatArray]:
        """Yield consecutive samples of all stems, shape (stems, channels, n), at the source's rate."""
        start = self._wanted.start
        for masked in self._estimated_stems(threads, progress):
            n = masked.shape[2]
            if n:
                yield self._with_remainder(masked, start)
                start += n

    def _estimated_stems(self, threads: int, progress: Progress) -> Iterator[FloatArray]:
        """Yield the masked stems at the source's rate, shape (masked stems, channels, n)."""
        n_stems, channels = len(self._manifest.estimated_stems), self._source.channels
        writer = SourceRateWriter(self._rates, n_stems * channels, self._wanted)
        samples = range(writer.first_model_sample, self._last_model_sample())
        chunks = self._grid.chunks_touching(samples)
        for chunk, y in zip(chunks, self._overlap_added(chunks, threads), strict=True):
            first = self._grid.first_sample(chunk)
            kept = y[..., max(0, samples.start - first) : max(0, samples.stop - first)]
            out = writer.convert_block(kept.reshape(n_stems * channels, -1), last=chunk == chunks[-1])
            progress((chunk - chunks.start + 1) / len(chunks))
            yield out.reshape(n_stems, channels, -1)

    def _last_model_sample(self) -> int:
        """Return how far the networks must go, at their rate, for the last wanted sample to be right."""
        rates = self._rates
        end = rates.model_samples(self._wanted.stop)
        if rates.same:
            return end
        # The resampler's filter also reads what comes after the last wanted sample.
        settled = end + int(SETTLING_SECONDS * rates.model_hz)
        return min(settled, rates.model_samples(self._source.n_samples))

    def _overlap_added(self, chunks: range, threads: int) -> Iterator[FloatArray]:
        """Yield the samples that each chunk completes, at the networks' rate, from the chunk's first sample."""
        n = self._grid.step_samples
        spill: FloatArray | None = None
        for y in run_in_order(self._tasks(chunks), threads):
            if y is None:
                continue
            if spill is not None:
                y[..., : self._grid.lead_samples] += spill
            spill = y[..., n:]
            yield y[..., :n]

    def _tasks(self, chunks: range) -> Iterator[DependentTask[Any]]:
        """Yield the steps of all chunks, with enough chunks before the range for the networks to settle.

        The networks lag behind by whole chunks, so `delay` more chunks must follow the range. Only the last step of a
        wanted chunk has a result: what its frames add to the masked stems. That step comes after the analysis of the
        next chunk, so each thread that has finished a network finds other work.
        """
        masker, stems = self._masker, range(len(self._manifest.stems))
        delay = self._manifest.delay_frames // self._manifest.chunk_frames
        settling = -(-self._manifest.settling_frames // self._manifest.chunk_frames)
        numbers = range(max(0, chunks.start - settling), chunks.stop + delay)
        without_gains: deque[Chunk] = deque()
        inference: list[DependentTask[None]] = []
        synthesis: list[DependentTask[FloatArray]] = []
        for number, y in zip(numbers, self._samples_of(numbers), strict=True):
            chunk = Chunk()
            analysis = DependentTask(masker.analyse, chunk, y)
            yield analysis
            yield from synthesis
            before = [analysis, *inference]
            inference = [DependentTask(masker.infer_gains, chunk, stem, after=before) for stem in stems]
            yield from inference
            without_gains.append(chunk)
            if number - delay >= chunks.start:
                synthesis = [DependentTask(masker.synthesise, without_gains[0], chunk, after=inference)]
            if len(without_gains) > delay:
                without_gains.popleft()
        yield from synthesis

    def _samples_of(self, numbers: range) -> Iterator[FloatArray]:
        """Yield the samples that each of these chunks covers, at the networks' rate."""
        grid = self._grid
        reader = ModelRateReader(self._source, self._rates, grid.first_sample(numbers.start))
        y = reader.read_next(grid.lead_samples)
        for _ in numbers:
            y = np.concatenate([y[:, -grid.lead_samples :], reader.read_next(grid.step_samples)], axis=1)
            yield y

    def _with_remainder(self, masked: FloatArray, start: int) -> FloatArray:
        """Return all stems in their order. The remainder is the mixture minus the masked stems."""
        manifest = self._manifest
        if manifest.remainder is None:
            return masked
        stems = np.empty((len(manifest.stems), *masked.shape[1:]), np.float32)
        remainder = manifest.stems.index(manifest.remainder)
        stems[np.arange(len(stems)) != remainder] = masked
        stems[remainder] = self._source.read_samples(start, start + masked.shape[2])
        for stem in masked:
            stems[remainder] -= stem
        return stems
