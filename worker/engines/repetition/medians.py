"""Medians of magnitudes, found bit by bit on 16-bit logarithmic codes.

A code holds 5 bits of a magnitude's exponent, counted from 2**-24, and the 11 highest bits of its mantissa. It is exact
to 0.05 % over 192 dB and keeps the order of magnitudes, so the median of codes is the code of the median.

The median is built from its highest bit down. For each bit, count the values that are smaller than the result so far
with this bit set: if too few are smaller, the bit belongs to the median. That takes 16 passes which only compare and
count. Over a tile of 128 bins the compiler turns them into vector instructions, which makes the median of 40 frames
some thirty times faster than `numpy.median`.

All functions release the GIL. They are compiled on their first call; `warm_up` of the package does it in advance.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CodeArray = NDArray[np.uint16]

TILE_BINS = 128
"""Bins that are ranked together: 40 frames of them take 10 kB, which stays in the first-level cache."""

MANTISSA_SHIFT = 12
"""How many of the 23 mantissa bits of a float32 a code drops."""

LOWEST_EXPONENT = (127 - 24) << 11
"""The float32 exponent of 2**-24 (-144 dB). Everything below it has the code 0."""


@njit(cache=True, nogil=True)
def decode_magnitudes(codes, out_bits):  # type: ignore[no-untyped-def]
    """Write the magnitudes of `codes` into `out_bits`, the uint32 view of a float32 array of the same size."""
    for i in range(codes.size):
        code = np.uint32(codes[i])
        middle = ((code + np.uint32(LOWEST_EXPONENT)) << np.uint32(MANTISSA_SHIFT)) | np.uint32(2048)
        out_bits[i] = middle if code > 0 else np.uint32(0)


@njit(cache=True, nogil=True)
def _allocate(n):  # type: ignore[no-untyped-def]
    """Return a tile for up to `n` rows, and the arrays for the result, candidate and count of `_rank`.

    They are separate arrays: the compiler cannot tell that parts of one array do not overlap, and would not vectorise.
    """
    tile = np.full((n + 3, TILE_BINS), 65535, np.uint16)
    return (
        tile,
        np.zeros(TILE_BINS, np.uint16),
        np.zeros(TILE_BINS, np.uint16),
        np.zeros(TILE_BINS, np.uint16),
    )


@njit(cache=True, nogil=True)
def _rank(tile, n, rank, result, candidate, below):  # type: ignore[no-untyped-def] # noqa: PLR0917 (numba)
    """Write into `result`, for each column of the first `n` rows of `tile`, the value that `rank` others precede."""
    # Four rows at a time, so the counts are loaded and stored less often. Rows of the highest code fill up the last
    # four; they are smaller than no candidate.
    tile[n : n + 3] = 65535
    result[:] = 0
    for bit in range(15, -1, -1):
        step = np.uint16(1 << bit)
        for j in range(TILE_BINS):
            candidate[j] = result[j] | step
            below[j] = 0
        for i in range(0, n, 4):
            for j in range(TILE_BINS):
                c = candidate[j]
                below[j] += (
                    np.uint16(tile[i, j] < c)
                    + np.uint16(tile[i + 1, j] < c)
                    + np.uint16(tile[i + 2, j] < c)
                    + np.uint16(tile[i + 3, j] < c)
                )
        for j in range(TILE_BINS):
            # A sum instead of a condition: that would compile to a branch, which real music mispredicts every other
            # time.
            result[j] += np.uint16(below[j] <= rank) * step


@njit(cache=True, nogil=True)
def _gather(codes, rows, n, first, tile):  # type: ignore[no-untyped-def]
    """Copy `TILE_BINS` bins, from bin `first`, of `n` chosen rows into the tile, with zeros after the last bin.

    Returns how many of these bins exist.
    """
    width = min(TILE_BINS, codes.shape[1] - first)
    for i in range(n):
        source = codes[rows[i], first : first + width]
        target = tile[i]
        target[width:] = 0
        for j in range(width):
            target[j] = source[j]
    return width


@njit(cache=True, nogil=True)
def rank_over_rows(codes, rows, n_rows, quantile, out):  # type: ignore[no-untyped-def]
    """Write a quantile of each bin over chosen rows of the bank.

    Parameters
    ----------
    codes : ndarray, shape (bank rows, bins), uint16
        The bank.
    rows : ndarray, shape (frames, most), int32
        For each frame the rows of the bank to rank over.
    n_rows : ndarray, shape (frames,), int32
        How many of them are valid. A frame without any gets zeros.
    quantile
        From 0 to 1; 0.5 is the (lower) median.
    out : ndarray, shape (frames, bins), uint16
        Receives the codes.
    """
    tile, result, candidate, below = _allocate(rows.shape[1])
    for t in range(rows.shape[0]):
        n = n_rows[t]
        if n == 0:
            out[t] = 0
            continue
        rank = np.uint16((n - 1) * quantile)
        for first in range(0, codes.shape[1], TILE_BINS):
            width = _gather(codes, rows[t], n, first, tile)
            _rank(tile, n, rank, result, candidate, below)
            out[t, first : first + width] = result[:width]


@njit(cache=True, nogil=True)
def middles_over_rows(codes, rows, n_rows, lower, upper):  # type: ignore[no-untyped-def]
    """Write the two middle values of each bin over chosen rows. Their mean is what `numpy.median` returns.

    The parameters are those of `rank_over_rows`. `lower` and `upper` are equal where the number of rows is odd.
    """
    tile, result, next_higher, count = _allocate(rows.shape[1])
    for t in range(rows.shape[0]):
        n = n_rows[t]
        if n == 0:
            lower[t] = 0
            upper[t] = 0
            continue
        for first in range(0, codes.shape[1], TILE_BINS):
            width = _gather(codes, rows[t], n, first, tile)
            _rank(tile, n, np.uint16((n - 1) // 2), result, next_higher, count)
            next_higher[:] = 65535
            count[:] = 0
            for i in range(n):
                for j in range(TILE_BINS):
                    count[j] += np.uint16(tile[i, j] <= result[j])
                    higher = tile[i, j] if tile[i, j] > result[j] else np.uint16(65535)
                    next_higher[j] = min(next_higher[j], higher)
            for j in range(width):
                lower[t, first + j] = result[j]
                upper[t, first + j] = result[j] if count[j] > n // 2 else next_higher[j]


@njit(cache=True, nogil=True)
def rank_over_bins(codes, radius, quantile, out):  # type: ignore[no-untyped-def]
    """Write a quantile of each bin over its neighbours up to `radius` bins away. The spectrum is mirrored at its ends.

    Parameters
    ----------
    codes : ndarray, shape (frames, bins), uint16
        With more bins than `radius`.
    radius
        Number of bins on each side.
    quantile
        From 0 to 1; 0.5 is the median.
    out : ndarray, shape (frames, bins), uint16
        Receives the codes.
    """
    n_bins = codes.shape[1]
    n = 2 * radius + 1
    padded = np.zeros(n_bins + 2 * radius + TILE_BINS, np.uint16)
    tile, result, candidate, below = _allocate(n)
    rank = np.uint16((n - 1) * quantile)
    for t in range(codes.shape[0]):
        padded[radius : radius + n_bins] = codes[t]
        for i in range(radius):
            padded[i] = codes[t, radius - i]
            padded[radius + n_bins + i] = codes[t, n_bins - 2 - i]
        for first in range(0, n_bins, TILE_BINS):
            for i in range(n):
                source = padded[first + i : first + i + TILE_BINS]
                target = tile[i]
                for j in range(TILE_BINS):
                    target[j] = source[j]
            _rank(tile, n, rank, result, candidate, below)
            width = min(TILE_BINS, n_bins - first)
            out[t, first : first + width] = result[:width]
