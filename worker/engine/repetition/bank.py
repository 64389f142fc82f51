"""The bank of frames in which a frame's repetitions are looked for, and the search.

Owns a ring of what is known of the latest frames, and which of them resemble a given frame. It holds a
bounded stretch of the track, so that memory is constant and time linear in the track's length.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engine.interface import FloatArray
from worker.engine.repetition.medians import CodeArray

CELL_FRAMES = 12
"""Frames (0.25 s) of which only the one most alike may serve: frames that follow each other hold the same
note."""

GAP_CELLS = 4
"""Cells (1 s) to either side of a frame that cannot serve it, for the same reason (Rafii and Pardo 2012)."""

CONTEXT_STEP_FRAMES = 6
"""Frames (0.14 s) between those that are compared with each other."""

CONTEXT_STEPS = 4
"""How many steps before and after a frame are compared too. Two moments then are alike if the accompaniment goes on
alike around them; a single frame matches the sung note as much."""


class Bank:
    """A ring of `capacity_frames` frames: frame `t` lies in row `t % capacity_frames`.

    Parameters
    ----------
    capacity_frames
        A multiple of `CELL_FRAMES`. Memory: `capacity_frames * (2 * n_bins + 4 * n_features + n_short_bins)` bytes.
    n_bins
        Bins of a spectrum.
    n_features
        Numbers by which frames are compared.
    n_short_bins
        Bins for which it is known how steady they are.
    """

    def __init__(self, capacity_frames: int, n_bins: int, n_features: int, n_short_bins: int = 0) -> None:
        self.capacity_frames = capacity_frames
        self.first_frame = 0
        self.stop_frame = 0
        self.codes: CodeArray = np.zeros((capacity_frames, n_bins), np.uint16)
        self.features: FloatArray = np.zeros((capacity_frames, n_features), np.float32)
        self.steadiness: NDArray[np.int8] = np.zeros((capacity_frames, n_short_bins), np.int8)

    def rows(self, first: int, stop: int) -> slice:
        """Return the rows of the frames `first` to `stop`, which must not straddle the ring's seam."""
        row = first % self.capacity_frames
        return slice(row, row + stop - first)

    def advance(self, stop_frame: int) -> None:
        """Declare the rows of all frames below `stop_frame` to be filled."""
        self.stop_frame = stop_frame
        self.first_frame = max(0, stop_frame - self.capacity_frames)

    def neighbours(self, first: int, stop: int, most: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return which rows resemble the frames `first` to `stop`, and how many they are.

        Parameters
        ----------
        first, stop
            Frames in the bank; not across the ring's seam.
        most
            How many rows to return at most for a frame.

        Returns
        -------
        rows : ndarray, shape (stop - first, most), int32
            The most alike frame of each of the `most` most alike cells, the cells near the frame itself left out.
            Alike is what has a high sum of the features' cosines over the frames of the context.
        n_rows : ndarray, shape (stop - first,), int32
            How many of `rows` are valid; fewer than `most` where the bank holds fewer cells.
        """
        n_valid = min(self.stop_frame, self.capacity_frames)
        similarity = self._features_around(first, stop) @ self.features[:n_valid].T
        rows = np.zeros((stop - first, most), np.int32)
        n_rows = np.zeros(stop - first, np.int32)
        _pick(
            similarity,
            first,
            self.first_frame // CELL_FRAMES,
            self.capacity_frames // CELL_FRAMES,
            rows,
            n_rows,
        )
        return rows, n_rows

    def _features_around(self, first: int, stop: int) -> FloatArray:
        """Return the features of the frames `first` to `stop` and their context, zeros for what is not in the bank."""
        reach = CONTEXT_STEPS * CONTEXT_STEP_FRAMES
        low, high = max(first - reach, self.first_frame), min(stop + reach, self.stop_frame)
        around = np.zeros((stop - first + 2 * reach, self.features.shape[1]), np.float32)
        place = low - (first - reach)
        around[place : place + high - low] = self.features[np.arange(low, high) % self.capacity_frames]
        return around


@njit(cache=True, nogil=True)
def _pick(similarity, first, first_cell, ring_cells, rows, n_rows):  # type: ignore[no-untyped-def] # noqa: PLR0917 (numba)
    """Fill `rows` and `n_rows` from `similarity`, shape (frames and their context, bank rows)."""
    n_valid = similarity.shape[1]
    n_cells = (n_valid + CELL_FRAMES - 1) // CELL_FRAMES
    best = np.zeros(n_cells, np.uint16)
    in_context = np.zeros(n_valid, np.float32)
    for t in range(rows.shape[0]):
        _sum_over_context(similarity, t, in_context)
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
def _sum_over_context(similarity, t, in_context):  # type: ignore[no-untyped-def]
    """Write the mean similarity of frame `t` and its context to each row and its context, 1 at most.

    Where the ring has its seam a row's context is another moment's; that concerns half a second in the whole bank.
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
def _take_best(similarity, best, rows):  # type: ignore[no-untyped-def]
    """Write the most alike row of each of the best cells into `rows`, earlier cells first among equals."""
    most = rows.size
    # The highest threshold that at least `most` cells reach, bit by bit.
    threshold = np.uint16(0)
    for bit in range(15, -1, -1):
        candidate = threshold | np.uint16(1 << bit)
        reached = 0
        for c in range(best.size):
            reached += best[c] >= candidate
        if reached >= most:
            threshold = candidate
    above = 0
    for c in range(best.size):
        above += best[c] > threshold
    ties_left = most - above
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
