"""Resamples pieces of a song so that each piece depends only on its place in the song.

A stream, as in `rates`, rounds differently depending on where it started. Here each piece is resampled on its own, from
a start that follows from the piece's place. So an excerpt has the samples of the whole song to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import soxr

from worker.engines.interface import AudioSource, FloatArray
from worker.engines.rates import SETTLING_SECONDS, RatePair

LEAST_PIECE_SECONDS = 1.0
"""The least length of a piece that is resampled back. In shorter ones, most of the work would be for the settling."""


def read_at_model_rate(source: AudioSource, rates: RatePair, first: int, n: int) -> FloatArray:
    """Return n samples of a source at the networks' rate, with zeros before its start and after its end.

    Parameters
    ----------
    source
        The mixture.
    rates
        Its sample rate and that of the networks.
    first
        The first sample wanted, at the networks' rate; may be negative.

    Returns
    -------
    ndarray, shape (channels, n), float32
    """
    if rates.same:
        return _read_padded(source, first, first + n)
    meeting = (first - math.ceil(SETTLING_SECONDS * rates.model_hz)) // rates.model_period
    start = meeting * rates.source_period
    end = first + n + math.ceil(SETTLING_SECONDS * rates.model_hz)
    y = _resampled(_read_padded(source, start, -(-end * rates.source_hz // rates.model_hz)), rates, back=False)
    skipped = first - meeting * rates.model_period
    return np.ascontiguousarray(y[:, skipped : skipped + n])


class SourceRatePieces:
    """Converts consecutive blocks at the networks' rate into blocks at the source's rate.

    Parameters
    ----------
    rates
        The sample rate of the source and that of the networks.
    wanted
        The wanted range, in samples of the source.
    song_samples
        The length of the song, in samples of the source.
    piece_samples
        About how many samples at the networks' rate to convert at once.
    """

    def __init__(self, rates: RatePair, wanted: range, song_samples: int, piece_samples: int) -> None:
        self._rates = rates
        self._wanted = wanted
        self._end = rates.model_samples(song_samples)
        least = max(piece_samples, LEAST_PIECE_SECONDS * rates.model_hz)
        self._piece = math.ceil(least / rates.model_period) * rates.source_period
        self._settling = 0 if rates.same else math.ceil(SETTLING_SECONDS * rates.model_hz)
        self._next = wanted.start
        self._kept: FloatArray | None = None
        self._kept_first = self.needed.start

    @property
    def needed(self) -> range:
        """The samples at the networks' rate that the blocks must cover."""
        if self._rates.same:
            return self._wanted
        first, stop = self._wanted.start // self._piece, -(-self._wanted.stop // self._piece)
        return range(max(0, self._model_range(first).start), min(self._end, self._model_range(stop - 1).stop))

    def convert_block(self, y: FloatArray) -> Iterator[FloatArray]:
        """Yield the samples of the wanted range that this block completes, shape (..., n), float32.

        `y` has the shape (..., n). The first block starts at `needed.start`, and each begins where the last one ended.
        """
        if self._rates.same:
            yield y
            return
        self._kept = y if self._kept is None else np.concatenate([self._kept, y], axis=-1)
        stop = self._kept_first + self._kept.shape[-1]
        while self._next < self._wanted.stop:
            number = self._next // self._piece
            model = self._model_range(number)
            if stop < min(model.stop, self._end):
                break
            block = self._resample_back(number, model)
            yield block
            self._next += block.shape[-1]
            self._forget(self._model_range(number + 1).start)

    def _model_range(self, number: int) -> range:
        """Return the samples at the networks' rate that a piece is computed from. The first may be negative."""
        period = self._rates.source_period
        start, stop = number * self._piece // period, (number + 1) * self._piece // period
        # A whole number of periods before the piece, so that the stream starts at a meeting point.
        lead = -(-self._settling // self._rates.model_period)
        return range((start - lead) * self._rates.model_period, stop * self._rates.model_period + self._settling)

    def _resample_back(self, number: int, model: range) -> FloatArray:
        kept = self._kept
        assert kept is not None  # noqa: S101 - for the type checker: convert_block has set it
        y = np.zeros((*kept.shape[:-1], len(model)), np.float32)
        low = max(model.start, self._kept_first)
        part = kept[..., low - self._kept_first : max(0, model.stop - self._kept_first)]
        y[..., low - model.start : low - model.start + part.shape[-1]] = part
        out = _resampled(y.reshape(-1, len(model)), self._rates, back=True)
        first = model.start // self._rates.model_period * self._rates.source_period
        stop = min(self._wanted.stop, (number + 1) * self._piece)
        return out[:, self._next - first : stop - first].reshape(*kept.shape[:-1], stop - self._next)

    def _forget(self, first: int) -> None:
        """Drop what lies before a sample at the networks' rate."""
        kept = self._kept
        assert kept is not None  # noqa: S101 - as above
        dropped = min(max(0, first - self._kept_first), kept.shape[-1])
        self._kept, self._kept_first = kept[..., dropped:].copy(), self._kept_first + dropped


def _read_padded(source: AudioSource, start: int, stop: int) -> FloatArray:
    """Return the samples of a source, with zeros where the range leaves it."""
    low = min(max(0, start), source.n_samples)
    high = min(max(low, stop), source.n_samples)
    y = source.read_samples(low, high)
    if (low, high) == (start, stop):
        return y
    padded = np.zeros((source.channels, stop - start), np.float32)
    if low < high:
        padded[:, low - start : high - start] = y
    return padded


def _resampled(y: FloatArray, rates: RatePair, *, back: bool) -> FloatArray:
    from_hz, to_hz = (rates.model_hz, rates.source_hz) if back else (rates.source_hz, rates.model_hz)
    out = soxr.resample(np.ascontiguousarray(y.T), from_hz, to_hz, quality="HQ")
    return np.ascontiguousarray(out.T, dtype=np.float32)
