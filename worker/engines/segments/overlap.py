"""Adds up the results of overlapping segments, each weighted with the window."""

from __future__ import annotations

import numpy as np

from worker.engines.interface import FloatArray
from worker.engines.segments.grid import Segment, SegmentGrid


class OverlapSum:
    """The weighted mean of overlapping segments. Only the part that is not complete yet is kept in memory.

    Segments are added in their order, so each sample is the same sum in the same order whatever range is asked for.

    Parameters
    ----------
    grid
        The segments and their window.
    leading
        The shape before the samples: (stems, channels).
    first
        The first sample that is wanted.
    """

    def __init__(self, grid: SegmentGrid, leading: tuple[int, int], first: int) -> None:
        self._grid = grid
        self._first = first
        self._sum = np.zeros((*leading, 0), np.float32)
        self._weights = np.zeros(0, np.float32)

    def add(self, segment: Segment, result: FloatArray) -> None:
        """Add the result of a segment, shape (stems, channels, segment_samples)."""
        missing = max(0, segment.stop - self._first - self._weights.size)
        self._sum = np.pad(self._sum, ((0, 0), (0, 0), (0, missing)))
        self._weights = np.pad(self._weights, (0, missing))
        start = max(segment.start, self._first)
        if start >= segment.stop:
            return
        here = slice(start - self._first, segment.stop - self._first)
        weights = self._grid.window[start - segment.start : segment.stop - segment.start]
        self._sum[..., here] += result[..., start - segment.first : segment.stop - segment.first] * weights
        self._weights[here] += weights

    def take(self, stop: int) -> FloatArray:
        """Return the samples from the last call's `stop` up to this one, shape (stems, channels, n).

        No later segment may begin before `stop`.
        """
        n = max(0, stop - self._first)
        taken: FloatArray = self._sum[..., :n] / self._weights[:n]
        self._sum, self._weights = self._sum[..., n:].copy(), self._weights[n:].copy()
        self._first += n
        return taken
