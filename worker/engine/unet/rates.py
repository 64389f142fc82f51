"""From the source's sample rate to the network's and back, in streams.

Owns the alignment: positions in both rates meet every `source_period` samples, and each stream starts at
such a meeting point, so that an excerpt is resampled exactly as it is within the whole song.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr

from worker.engine.interface import FloatArray, Source

READ_SECONDS = 1.0
"""Source read at once while resampling: bounds the memory; longer reads gain nothing."""

SETTLING_SECONDS = 0.25
"""What a resampler needs before its output no longer depends on where it began: several times its
filter's length."""


@dataclass(frozen=True)
class RatePair:
    """The source's rate and the network's. Sample `source_period` is there sample
    `model_period`."""

    source_hz: int
    model_hz: int

    @property
    def same(self) -> bool:
        """Whether nothing has to be resampled."""
        return self.source_hz == self.model_hz

    @property
    def source_period(self) -> int:
        """Samples of the source between two meeting points."""
        return self.source_hz // math.gcd(self.source_hz, self.model_hz)

    @property
    def model_period(self) -> int:
        """Samples at the network's rate between two meeting points."""
        return self.model_hz // math.gcd(self.source_hz, self.model_hz)

    def model_samples(self, source_samples: int) -> int:
        """Return how many samples at the network's rate cover so many of the source's."""
        return -(-source_samples * self.model_hz // self.source_hz)

    def meeting_before(self, model_sample: int) -> int:
        """Return the number of the last meeting point from which a stream has settled at `model_sample`."""
        return max(0, (model_sample - math.ceil(SETTLING_SECONDS * self.model_hz)) // self.model_period)


class ModelRateReader:
    """Reads a source at the network's rate, forwards; gives zeros before its start and after its end.

    Parameters
    ----------
    source
        The mixture.
    rates
        Its rate and the network's.
    first
        The first sample wanted, at the network's rate; may be negative.
    """

    def __init__(self, source: Source, rates: RatePair, first: int) -> None:
        self._source = source
        self._position = first
        self._blocks = _Plain(source, max(0, first)) if rates.same else _Resampled(source, rates, max(0, first))

    def read(self, n: int) -> FloatArray:
        """Return the next n samples, shape (channels, n), float32."""
        y = np.zeros((self._source.channels, n), np.float32)
        at = min(max(0, -self._position), n)
        while at < n:
            block = self._blocks.next(n - at)
            if not block.shape[1]:
                break
            y[:, at : at + block.shape[1]] = block
            at += block.shape[1]
        self._position += n
        return y


class SourceRateWriter:
    """Turns consecutive blocks at the network's rate into blocks at the source's.

    Parameters
    ----------
    rates
        The source's rate and the network's.
    rows
        How many signals run in parallel.
    wanted
        The range wanted, in samples of the source.
    """

    def __init__(self, rates: RatePair, rows: int, wanted: range) -> None:
        self._rates = rates
        meeting = rates.meeting_before(wanted.start * rates.model_hz // rates.source_hz)
        self.first_model_sample = wanted.start if rates.same else meeting * rates.model_period
        self._to_skip = 0 if rates.same else wanted.start - meeting * rates.source_period
        self._to_come = len(wanted)
        self._stream = None if rates.same else _stream(rates.model_hz, rates.source_hz, rows)

    def convert(self, y: FloatArray, *, last: bool) -> FloatArray:
        """Return what this block completes, shape (rows, n), float32; after the last block the wanted
        range is whole."""
        if self._stream is not None:
            y = _resample(self._stream, y, last)
        skipped = min(self._to_skip, y.shape[1])
        self._to_skip -= skipped
        y = y[:, skipped : skipped + self._to_come]
        if last and y.shape[1] < self._to_come:
            # Rounding of the two lengths can leave the stream a sample short.
            y = np.pad(y, ((0, 0), (0, self._to_come - y.shape[1])))
        self._to_come -= y.shape[1]
        return y


class _Plain:
    def __init__(self, source: Source, first: int) -> None:
        self._source = source
        self._at = min(first, source.n_samples)

    def next(self, at_most: int) -> FloatArray:
        stop = min(self._at + at_most, self._source.n_samples)
        block = self._source.read(self._at, stop)
        self._at = stop
        return block


class _Resampled:
    def __init__(self, source: Source, rates: RatePair, first: int) -> None:
        meeting = rates.meeting_before(first)
        self._source = source
        self._read_samples = max(1, round(READ_SECONDS * rates.source_hz))
        self._at = min(meeting * rates.source_period, source.n_samples)
        self._to_skip = first - meeting * rates.model_period
        self._stream = _stream(rates.source_hz, rates.model_hz, source.channels)
        self._ended = False
        self._block = np.zeros((source.channels, 0), np.float32)

    def next(self, at_most: int) -> FloatArray:
        while not self._block.shape[1] and not self._ended:
            self._fill()
        block, self._block = self._block[:, :at_most], self._block[:, at_most:]
        return block

    def _fill(self) -> None:
        stop = min(self._at + self._read_samples, self._source.n_samples)
        self._ended = stop == self._source.n_samples
        y = _resample(self._stream, self._source.read(self._at, stop), self._ended)
        self._at = stop
        skipped = min(self._to_skip, y.shape[1])
        self._to_skip -= skipped
        self._block = y[:, skipped:]


def _stream(from_hz: int, to_hz: int, rows: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(from_hz, to_hz, rows, dtype="float32", quality="HQ")


def _resample(stream: soxr.ResampleStream, y: FloatArray, last: bool) -> FloatArray:
    out = stream.resample_chunk(np.ascontiguousarray(y.T), last=last)
    return np.ascontiguousarray(out.T, dtype=np.float32)
