"""Medians of magnitudes, found bit by bit on 16-bit logarithmic codes.

Owns the code and the compiled loops that rank codes. A magnitude becomes 5 bits of exponent and 11 of
mantissa, which is exact to 0.05 % over 192 dB and keeps the order, so that a median of codes is the code of
the median. Finding it takes 16 passes that only compare and count; over a tile of 128 bins the compiler
turns them into vector instructions, which makes the median of 40 frames some thirty times faster than
`numpy.median`.

The functions release the GIL and compile on their first call (`warm` in the package does it ahead of time).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CodeArray = NDArray[np.uint16]

TILE_BINS = 128
"""Bins ranked at once: 40 frames of them take 10 kB, which stays in the first-level cache."""

MANTISSA_SHIFT = 12
"""Bits of a float32's 23-bit mantissa that the code drops."""

LOWEST_EXPONENT = (127 - 24) << 11
"""The float32 exponent of 2**-24 (-144 dB), below which all is code 0."""


@njit(cache=True, nogil=True)
def decode(codes, out_bits):  # type: ignore[no-untyped-def]
    """Write the magnitudes of `codes` into `out_bits`, the uint32 view of a float32 array."""
    for i in range(codes.size):
        code = np.uint32(codes[i])
        middle = ((code + np.uint32(LOWEST_EXPONENT)) << np.uint32(MANTISSA_SHIFT)) | np.uint32(2048)
        out_bits[i] = middle if code > 0 else np.uint32(0)


@njit(cache=True, nogil=True)
def _workspace(n):  # type: ignore[no-untyped-def]
    """Return a tile for up to `n` rows, and the result, candidate and count of `_rank`.

    These are arrays of their own, since of parts of one array the compiler cannot tell that they do not
    overlap.
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
    """Write into `result` the value with `rank` smaller ones in each column of `n` rows of `tile`."""
    # Four rows at a time, so that the counts are loaded and stored less often. Rows of the highest code
    # fill up.
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
            # Written as a sum, since a choice compiles to a branch, which real music mispredicts every
            # other time.
            result[j] += np.uint16(below[j] <= rank) * step


@njit(cache=True, nogil=True)
def _gather(codes, rows, n, first, tile):  # type: ignore[no-untyped-def]
    """Copy `TILE_BINS` bins from `first` on of `n` chosen rows into the tile, and zeros past the last bin."""
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
    """Rank each bin over chosen rows of the bank.

    Parameters
    ----------
    codes : ndarray, shape (bank rows, bins), uint16
        The bank.
    rows : ndarray, shape (frames, most), int32
        For each frame the rows of the bank to rank over.
    n_rows : ndarray, shape (frames,), int32
        How many of them there are; a frame without any gets zeros.
    quantile
        0.5 for the (lower) median.
    out : ndarray, shape (frames, bins), uint16
        Receives the codes.
    """
    tile, result, candidate, below = _workspace(rows.shape[1])
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
    """Write the two middle values of each bin over chosen rows; their mean is what `numpy.median` gives.

    The parameters are those of `rank_over_rows`; `lower` and `upper` are the same where the number is odd.
    """
    tile, result, next_higher, count = _workspace(rows.shape[1])
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
    """Rank each bin over its neighbours up to `radius` bins away, the spectrum mirrored at both ends.

    Parameters
    ----------
    codes : ndarray, shape (frames, bins), uint16
        More bins than `radius`.
    radius
        Bins to either side.
    quantile
        0.5 for the median.
    out : ndarray, shape (frames, bins), uint16
        Receives the codes.
    """
    n_bins = codes.shape[1]
    n = 2 * radius + 1
    padded = np.zeros(n_bins + 2 * radius + TILE_BINS, np.uint16)
    tile, result, candidate, below = _workspace(n)
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
