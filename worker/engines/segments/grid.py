"""How a song is cut into segments. The grid begins at the song's first sample, whatever range is asked for.

So an excerpt falls into the same segments as the whole song, and has the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.engines.interface import FloatArray


@dataclass(frozen=True)
class Segment:
    """One segment. All positions are samples of the song at the network's rate.

    The network reads `segment_samples` from `first` on, with zeros outside the song. Its result is used from `start`
    to `stop`, weighted with the first `stop - start` values of the grid's window.
    """

    number: int
    first: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class SegmentGrid:
    """The segments of any song, for one network.

    Parameters
    ----------
    segment_samples
        The samples that the network reads at once.
    hop
        Samples from one segment to the next; at most the length of the window.
    window : ndarray, shape (segment_samples - 2 * margin,), float32
        The weights of a segment's result; all above 0. What overlaps is divided by the sum of the weights.
    margin
        Samples at both ends of a segment that are not used, because the network sees no music beyond them.
    centre_last
        Whether a segment that reaches beyond the song's end is moved so that the samples used lie in its middle, with
        the song before them as context. Otherwise zeros follow the song.
    """

    segment_samples: int
    hop: int
    window: FloatArray
    margin: int = 0
    centre_last: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if the numbers contradict each other."""
        if len(self.window) != self.segment_samples - 2 * self.margin or self.margin < 0:
            raise ValueError("the window must be as long as a segment less both margins")
        if not 1 <= self.hop <= len(self.window) or not self.window.min() > 0:
            raise ValueError("hop must not exceed the window, whose values must be positive")

    def segment(self, number: int, n_samples: int) -> Segment:
        """Return a segment of a song that has `n_samples`."""
        start = number * self.hop
        stop = min(start + len(self.window), n_samples)
        first = start - self.margin
        if self.centre_last:
            first = start - (self.segment_samples - (stop - start)) // 2
        return Segment(number, first, start, stop)

    def touching(self, samples: range, n_samples: int) -> range:
        """Return the numbers of the segments whose result is used in this range of samples (not empty)."""
        first = max(0, -(-(samples.start - len(self.window) + 1) // self.hop))
        return range(first, (min(samples.stop, n_samples) - 1) // self.hop + 1)


def hann_weights(n: int) -> FloatArray:
    """Return a Hann window without zeros, shape (n,), float32: its samples lie half a sample beside the usual ones."""
    weights: FloatArray = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2).astype(np.float32)
    return weights


def triangle_weights(n: int) -> FloatArray:
    """Return a triangle from 1 / (n / 2) up to 1 and down again, shape (n,), float32, as HT-Demucs weights segments."""
    half = n // 2
    rising, falling = np.arange(1, half + 1), np.arange(n - half, 0, -1)
    weights: FloatArray = (np.concatenate([rising, falling]) / max(half, n - half)).astype(np.float32)
    return weights
