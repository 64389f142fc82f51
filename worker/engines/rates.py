"""Resamples streams between the source's sample rate and the networks' rate.

Sample `source_period` of the source and sample `model_period` at the networks' rate lie at the same moment. Each stream
starts at such a meeting point, so an excerpt is resampled exactly as it is within the whole song.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr

from worker.engines.interface import AudioSource, FloatArray

READ_SECONDS = 1.0
"""How much of the source is read at once while resampling. It bounds the memory; more gains nothing."""

SETTLING_SECONDS = 0.25
"""After this time the output of a resampler no longer depends on where it started: several times the length of its
filter."""


@dataclass(frozen=True)
class RatePair:
    """The sample rate of the source and that of the networks."""

    source_hz: int
    model_hz: int

    @property
    def same(self) -> bool:
        """Whether no resampling is needed."""
        return self.source_hz == self.model_hz

    @property
    def source_period(self) -> int:
        """Samples of the source from one meeting point to the next."""
        return self.source_hz // math.gcd(self.source_hz, self.model_hz)

    @property
    def model_period(self) -> int:
        """Samples at the networks' rate from one meeting point to the next."""
        return self.model_hz // math.gcd(self.source_hz, self.model_hz)

    def model_samples(self, source_samples: int) -> int:
        """Return how many samples at the networks' rate cover this many samples of the source."""
        return -(-source_samples * self.model_hz // self.source_hz)

    def meeting_before(self, model_sample: int) -> int:
        """Return the number of the last meeting point at which a stream can start and be settled at `model_sample`."""
        return max(0, (model_sample - math.ceil(SETTLING_SECONDS * self.model_hz)) // self.model_period)


class ModelRateReader:
    """Reads a source forwards at the networks' rate. Returns zeros before its start and after its end.

    Parameters
    ----------
    source
        The mixture.
    rates
        Its sample rate and that of the networks.
    first
        The first sample wanted, at the networks' rate; may be negative.
    """

    def __init__(self, source: AudioSource, rates: RatePair, first: int) -> None:
        self._source = source
        self._position = first
        reader = _PlainReader if rates.same else _ResamplingReader
        self._reader = reader(source, rates, max(0, first))

    def read_next(self, n: int) -> FloatArray:
        """Return the next n samples, shape (channels, n), float32."""
        y = np.zeros((self._source.channels, n), np.float32)
        n_read = min(max(0, -self._position), n)
        while n_read < n:
            block = self._reader.next_block(n - n_read)
            if not block.shape[1]:
                break
            y[:, n_read : n_read + block.shape[1]] = block
            n_read += block.shape[1]
        self._position += n
        return y


class SourceRateWriter:
    """Converts consecutive blocks at the networks' rate into blocks at the source's rate.

    Parameters
    ----------
    rates
        The sample rate of the source and that of the networks.
    rows
        How many signals are converted in parallel.
    wanted
        The wanted range, in samples of the source. Blocks must start at `first_model_sample`.
    """

    def __init__(self, rates: RatePair, rows: int, wanted: range) -> None:
        self._rates = rates
        meeting = rates.meeting_before(wanted.start * rates.model_hz // rates.source_hz)
        self.first_model_sample = wanted.start if rates.same else meeting * rates.model_period
        self._to_skip = 0 if rates.same else wanted.start - meeting * rates.source_period
        self._remaining = len(wanted)
        self._stream = None if rates.same else _stream(rates.model_hz, rates.source_hz, rows)

    def convert_block(self, y: FloatArray, *, last: bool) -> FloatArray:
        """Return the samples of the wanted range that this block completes, shape (rows, n), float32.

        After the last block the range is complete.
        """
        if self._stream is not None:
            y = _resample(self._stream, y, last)
        skipped = min(self._to_skip, y.shape[1])
        self._to_skip -= skipped
        y = y[:, skipped : skipped + self._remaining]
        if last and y.shape[1] < self._remaining:
            # The rounding of both lengths can leave the stream one sample short.
            y = np.pad(y, ((0, 0), (0, self._remaining - y.shape[1])))
        self._remaining -= y.shape[1]
        return y


class _PlainReader:
    """Reads blocks of a source that already has the networks' rate."""

    def __init__(self, source: AudioSource, rates: RatePair, first: int) -> None:
        del rates
        self._source = source
        self._position = min(first, source.n_samples)

    def next_block(self, at_most: int) -> FloatArray:
        stop = min(self._position + at_most, self._source.n_samples)
        block = self._source.read_samples(self._position, stop)
        self._position = stop
        return block


class _ResamplingReader:
    """Reads blocks of a source and resamples them to the networks' rate."""

    def __init__(self, source: AudioSource, rates: RatePair, first: int) -> None:
        meeting = rates.meeting_before(first)
        self._source = source
        self._read_samples = max(1, round(READ_SECONDS * rates.source_hz))
        self._position = min(meeting * rates.source_period, source.n_samples)
        self._to_skip = first - meeting * rates.model_period
        self._stream = _stream(rates.source_hz, rates.model_hz, source.channels)
        self._ended = False
        self._block = np.zeros((source.channels, 0), np.float32)

    def next_block(self, at_most: int) -> FloatArray:
        while not self._block.shape[1] and not self._ended:
            self._resample_next()
        block, self._block = self._block[:, :at_most], self._block[:, at_most:]
        return block

    def _resample_next(self) -> None:
        stop = min(self._position + self._read_samples, self._source.n_samples)
        self._ended = stop == self._source.n_samples
        y = _resample(self._stream, self._source.read_samples(self._position, stop), self._ended)
        self._position = stop
        skipped = min(self._to_skip, y.shape[1])
        self._to_skip -= skipped
        self._block = y[:, skipped:]


def _stream(from_hz: int, to_hz: int, rows: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(from_hz, to_hz, rows, dtype="float32", quality="HQ")


def _resample(stream: soxr.ResampleStream, y: FloatArray, last: bool) -> FloatArray:
    out = stream.resample_chunk(np.ascontiguousarray(y.T), last=last)
    return np.ascontiguousarray(out.T, dtype=np.float32)
