"""The bank of frames in which the engine looks for the repetitions of a frame, and the search itself.

The bank is a ring buffer with the codes and features of the latest frames. It holds a bounded part of the track, so
memory is constant and time grows linearly with the length of the track.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.engines.repetition.medians import CodeArray

CELL_FRAMES = 12
"""Of this many frames (0.25 s), only the most similar one is used, because neighbouring frames hold the same note."""

GAP_CELLS = 4
"""Cells (1 s) on each side of a frame that are not used for it, for the same reason (Rafii and Pardo 2012)."""

CONTEXT_STEP_FRAMES = 6
"""Frames (0.14 s) from one compared frame to the next."""

CONTEXT_STEPS = 4
"""Number of steps before and after a frame that are compared too. Two moments are then similar if the accompaniment
around them continues in the same way; a single frame would also match because of the sung note."""


class Bank:
    """A ring buffer of `capacity_frames` frames: frame `t` lies in row `t % capacity_frames`.

    Parameters
    ----------
    capacity_frames
        A multiple of `CELL_FRAMES`. Memory: `capacity_frames * (2 * n_bins + 4 * n_features + n_short_bins)` bytes.
    n_bins
        Number of frequency bins of a spectrum.
    n_features
        Numbers by which frames are compared.
    n_short_bins
        Number of frequency bins whose steadiness is stored.
    """

    def __init__(self, capacity_frames: int, n_bins: int, n_features: int, n_short_bins: int = 0) -> None:
        self.capacity_frames = capacity_frames
        self.first_frame = 0
        self.stop_frame = 0
        self.codes: CodeArray = np.zeros((capacity_frames, n_bins), np.uint16)
        self.features: FloatArray = np.zeros((capacity_frames, n_features), np.float32)
        self.steadiness: NDArray[np.int8] = np.zeros((capacity_frames, n_short_bins), np.int8)

    def rows(self, first: int, stop: int) -> slice:
        """Return the rows of the frames `first` to `stop`. The range must not cross the end of the ring."""
        row = first % self.capacity_frames
        return slice(row, row + stop - first)

    def advance(self, stop_frame: int) -> None:
        """Declare that the rows of all frames before `stop_frame` have been written."""
        self.stop_frame = stop_frame
        self.first_frame = max(0, stop_frame - self.capacity_frames)

    def find_similar(self, first: int, stop: int, most: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return which rows hold the frames most similar to each of the frames `first` to `stop`.

        The similarity of two frames is the mean cosine of their features, over the two frames themselves and the
        frames of their context.

        Parameters
        ----------
        first, stop
            A range of frames in the bank that does not cross the end of the ring.
        most
            The largest number of rows to return for a frame.

        Returns
        -------
        rows : ndarray, shape (stop - first, most), int32
            The most similar frame of each of the `most` best cells, without the cells near the frame itself.
        n_rows : ndarray, shape (stop - first,), int32
            How many entries of `rows` are valid: fewer than `most` where the bank holds fewer cells.
        """
        n_valid = min(self.stop_frame, self.capacity_frames)
        similarity = self._features_with_context(first, stop) @ self.features[:n_valid].T
        rows = np.zeros((stop - first, most), np.int32)
        n_rows = np.zeros(stop - first, np.int32)
        _choose_rows(
            similarity,
            first,
            self.first_frame // CELL_FRAMES,
            self.capacity_frames // CELL_FRAMES,
            rows,
            n_rows,
        )
        return rows, n_rows

    def _features_with_context(self, first: int, stop: int) -> FloatArray:
        """Return the features of the frames `first` to `stop` and their context; zeros for frames not in the bank."""
        reach = CONTEXT_STEPS * CONTEXT_STEP_FRAMES
        low, high = max(first - reach, self.first_frame), min(stop + reach, self.stop_frame)
        features = np.zeros((stop - first + 2 * reach, self.features.shape[1]), np.float32)
        place = low - (first - reach)
        features[place : place + high - low] = self.features[np.arange(low, high) % self.capacity_frames]
        return features


@njit(cache=True, nogil=True)
def _choose_rows(similarity, first, first_cell, ring_cells, rows, n_rows):  # type: ignore[no-untyped-def] # noqa: PLR0917 (numba)
    """Fill `rows` and `n_rows` from `similarity`, shape (frames and their context, bank rows)."""
    n_valid = similarity.shape[1]
    n_cells = (n_valid + CELL_FRAMES - 1) // CELL_FRAMES
    # The best similarity in each cell, as a 16-bit integer, which `_take_best` can rank bit by bit.
    best = np.zeros(n_cells, np.uint16)
    in_context = np.zeros(n_valid, np.float32)
    for t in range(rows.shape[0]):
        _average_over_context(similarity, t, in_context)
        own_cell = (first + t) // CELL_FRAMES
        for c in range(n_cells):
            highest = np.float32(0)
            for r in range(c * CELL_FRAMES, min(n_valid, (c + 1) * CELL_FRAMES)):
                highest = max(highest, in_context[r])
            cell = first_cell + (c - first_cell) % ring_cells
            near = abs(cell - own_cell) <= GAP_CELLS
            best[c] = 0 if near else np.uint16(min(highest, np.float32(1)) * np.float32(65535))
        n_rows[t] = _take_best(in_context, best, rows[t])


@njit(cache=True, nogil=True)
def _average_over_context(similarity, t, in_context):  # type: ignore[no-untyped-def]
    """Write for each row the mean similarity of frame `t` and its context to the row and the row's context; at most 1.

    At the end of the ring the context of a row belongs to another moment. That affects half a second of the bank.
    """
    n_rows = in_context.size
    in_context[:] = 0
    for step in range(2 * CONTEXT_STEPS + 1):
        shift = (step - CONTEXT_STEPS) * CONTEXT_STEP_FRAMES
        low, high = max(0, -shift), min(n_rows, n_rows - shift)
        source = similarity[t + step * CONTEXT_STEP_FRAMES, low + shift : high + shift]
        target = in_context[low:high]
        for r in range(target.size):
            target[r] += source[r]
    in_context *= np.float32(1 / (2 * CONTEXT_STEPS + 1))


@njit(cache=True, nogil=True)
def _lowest_of_the_best(best, most):  # type: ignore[no-untyped-def]
    """Return the highest value that at least `most` cells reach, found bit by bit from the highest bit."""
    threshold = np.uint16(0)
    for bit in range(15, -1, -1):
        candidate = threshold | np.uint16(1 << bit)
        reached = 0
        for c in range(best.size):
            reached += best[c] >= candidate
        if reached >= most:
            threshold = candidate
    return threshold


@njit(cache=True, nogil=True)
def _take_best(similarity, best, rows):  # type: ignore[no-untyped-def]
    """Write the most similar row of each of the best cells into `rows`; among equal cells the earlier ones count.

    Returns the number of rows.
    """
    threshold = _lowest_of_the_best(best, rows.size)
    above = 0
    for c in range(best.size):
        above += best[c] > threshold
    ties_left = rows.size - above
    n = 0
    for c in range(best.size):
        if best[c] == 0 or best[c] < threshold:
            continue
        if best[c] == threshold:
            if ties_left == 0:
                continue
            ties_left -= 1
        row = c * CELL_FRAMES
        for r in range(row + 1, min(similarity.size, (c + 1) * CELL_FRAMES)):
            if similarity[r] > similarity[row]:
                row = r
        rows[n] = row
        n += 1
    return n
