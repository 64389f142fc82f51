"""The level of a whole song, and what a network needs of it: networks know songs at mastered level only.

The level is that of the whole song even where an engine separates an excerpt. So an excerpt has the samples that it
has within the song. A source that holds only a part of a song knows the level of the whole (`KnowsLevel`); any other
source is the whole song, and is measured here in one pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from worker.engines.interface import AudioSource, FloatArray

QUIETEST_PEAK = 1e-5
"""A song with a lower peak (-100 dB) is fed as if it had this one: what it holds is rounding, not music."""

READ_SAMPLES = 1 << 18
"""How many samples are read at once for measuring. It bounds the memory."""


@dataclass(frozen=True)
class SongLevel:
    """How loud a whole song is, measured on its samples at their own rate.

    `peak` is the largest absolute sample of any channel. `mean` and `deviation` are the mean and the standard deviation
    of the mean of all channels.
    """

    peak: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0


@runtime_checkable
class KnowsLevel(Protocol):
    """A source that knows the level of the whole song, even if it holds only a part of the song."""

    @property
    def song_level(self) -> SongLevel:
        """The level of the whole song."""


class LevelMeter:
    """Measures a song's level from consecutive blocks."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._n = 0
        self._sum = 0.0
        self._squares = 0.0

    def add_block(self, block: FloatArray) -> None:
        """Add the next samples, shape (channels, n), float32, all finite."""
        if block.size == 0:
            return
        self._peak = max(self._peak, float(block.max()), -float(block.min()))
        # Sums of float32 are exact enough within a block, and take a fraction of the time.
        middle = block.sum(axis=0)
        self._n += middle.size
        self._sum += float(middle.sum(dtype=np.float64)) / len(block)
        self._squares += float(np.dot(middle, middle)) / len(block) ** 2

    def level(self) -> SongLevel:
        """Return the level of all blocks so far."""
        if not self._n:
            return SongLevel()
        mean = self._sum / self._n
        # As torch's `std`, with one less in the denominator.
        variance = max(0.0, self._squares - self._n * mean * mean) / max(1, self._n - 1)
        return SongLevel(self._peak, mean, math.sqrt(variance))


def level_of(source: AudioSource) -> SongLevel:
    """Return the level of the song that a source is, or is a part of."""
    if isinstance(source, KnowsLevel):
        return source.song_level
    meter = LevelMeter()
    for start in range(0, source.n_samples, READ_SAMPLES):
        meter.add_block(source.read_samples(start, min(source.n_samples, start + READ_SAMPLES)))
    return meter.level()


def gain_to_peak(level: SongLevel, peak: float) -> float:
    """Return what brings the song's largest sample to `peak`; 1 for silence.

    Songs are mastered to a peak. So this undoes any change of level since then, which a measure of loudness would not:
    masters differ in loudness by 10 dB.
    """
    return peak / max(level.peak, QUIETEST_PEAK) if level.peak else 1.0
