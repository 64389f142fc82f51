"""One track, or an excerpt of it, through the networks from end to end.

Owns the order of the steps: read, resample, analyse, infer, mask, synthesise, add up, resample back,
subtract. Each step's own matter is in the module of its name. Memory depends on the length of a chunk,
never on that of the track.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from worker.engine.interface import FloatArray, Progress, Source
from worker.engine.unet.chunks import Chunk, ChunkMasker
from worker.engine.unet.frames import FrameGrid
from worker.engine.unet.manifest import Manifest
from worker.engine.unet.network import Model
from worker.engine.unet.ordered_work import Job, in_order
from worker.engine.unet.rates import SETTLING_SECONDS, ModelRateReader, RatePair, SourceRateWriter


class Separation:
    """Separates one range of one source; iterate over it once.

    Parameters
    ----------
    manifest, model
        The networks.
    source
        The mixture. The networks read it once, forwards; the remainder reads each block once more.
    wanted
        The range in samples of the source; not empty.
    """

    def __init__(self, manifest: Manifest, model: Model, source: Source, wanted: range) -> None:
        self._manifest = manifest
        self._source = source
        self._wanted = wanted
        self._masker = ChunkMasker(manifest, model, source.channels)
        self._grid = FrameGrid.of(manifest)
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
        end = rates.model_samples(self._wanted.stop)
        if not rates.same:
            settled = end + int(SETTLING_SECONDS * rates.model_hz)
            end = min(settled, rates.model_samples(self._source.n_samples))
        samples = range(writer.first_model_sample, end)
        chunks = self._grid.chunks(samples)
        for chunk, y in zip(chunks, self._added_up(chunks, threads), strict=True):
            first = self._grid.first_sample(chunk)
            kept = y[..., max(0, samples.start - first) : max(0, samples.stop - first)]
            out = writer.convert(kept.reshape(n_stems * channels, -1), last=chunk == chunks[-1])
            progress((chunk - chunks.start + 1) / len(chunks))
            yield out.reshape(n_stems, channels, -1)

    def _added_up(self, chunks: range, threads: int) -> Iterator[FloatArray]:
        """Yield what each chunk completes at the network's rate, beginning with its first sample."""
        n = self._grid.step_samples
        lead: FloatArray | None = None
        for y in in_order(self._jobs(chunks), threads):
            if y is None:
                continue
            if lead is not None:
                y[..., : self._grid.lead_samples] += lead
            lead = y[..., n:]
            yield y[..., :n]

    def _jobs(self, chunks: range) -> Iterator[Job[Any]]:
        """Yield the steps of all chunks, from where the networks settle to where they lag behind.

        Only the last step of a wanted chunk has a result: what its frames add to the masked stems. It
        comes after the next chunk's analysis, so that each thread that has done a network finds something
        else to do.
        """
        masker, stems = self._masker, range(len(self._manifest.stems))
        delay = self._manifest.delay_frames // self._manifest.chunk_frames
        settling = -(-self._manifest.settling_frames // self._manifest.chunk_frames)
        numbers = range(max(0, chunks.start - settling), chunks.stop + delay)
        delayed: deque[Chunk] = deque()
        inferred: list[Job[None]] = []
        synthesised: list[Job[FloatArray]] = []
        for number, y in zip(numbers, self._samples(numbers), strict=True):
            chunk = Chunk()
            analysed = Job(partial(masker.analyse, chunk, y))
            yield analysed
            yield from synthesised
            inferred = [Job(partial(masker.infer, chunk, stem), [analysed, *inferred]) for stem in stems]
            yield from inferred
            delayed.append(chunk)
            if number - delay >= chunks.start:
                synthesised = [Job(partial(masker.synthesise, delayed[0], chunk), inferred)]
            if len(delayed) > delay:
                delayed.popleft()
        yield from synthesised

    def _samples(self, numbers: range) -> Iterator[FloatArray]:
        """Yield the samples that the chunks of these numbers read."""
        grid = self._grid
        reader = ModelRateReader(self._source, self._rates, grid.first_sample(numbers.start))
        y = reader.read(grid.lead_samples)
        for _ in numbers:
            y = np.concatenate([y[:, -grid.lead_samples :], reader.read(grid.step_samples)], axis=1)
            yield y

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
