"""How steady each frequency is within a moment: a sung note holds for a tenth of a second, a stroke does not.

Owns the second, shorter view of the sound and what is measured in it. A note is a line along time and a
stroke a line along frequency, so the median over neighbouring frames keeps the one and the median over
neighbouring frequencies the other (FitzGerald, DAFx 2010; this is the second half of two-stage HPSS). Frames
four times shorter than the engine's show it best, since in these strokes stay narrow and vibrato still.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from worker.engine.framing import OVERLAP, ComplexArray, hann
from worker.engine.interface import FloatArray
from worker.engine.repetition.medians import CodeArray, decode, rank_over_bins, rank_over_rows
from worker.engine.repetition.spectra import encode

SteadinessArray = NDArray[np.int8]

SHORTENING = 4
"""How much shorter the frames are than the engine's: 23 ms."""

MARGIN_FRAMES = 3
"""The engine's frames to either side whose samples are looked at too."""

STEADY_RADIUS_FRAMES = 7
"""Short frames (12 ms apart) to either side over which a note must hold: 0.17 s in all."""

STRUCK_RADIUS_BINS = 8
"""Short bins to either side over which strokes are found: 0.7 kHz in all."""

STEPS_PER_NEPER = 31.0
"""Resolution of the result; it is held within 127 steps, some 4 nepers (36 dB)."""

_HOPS = 2 * OVERLAP // SHORTENING
"""Short frames for each of the engine's: they overlap by a half."""

_TINY = 1e-14
"""Power far below the last bit of 24; what is silent is neither steady nor struck."""


def n_short_bins(n_fft: int) -> int:
    """Return how many frequencies the short frames have for engine's frames of `n_fft` samples."""
    return n_fft // SHORTENING // 2 + 1


def measure_steadiness(y: FloatArray, n_fft: int, out: SteadinessArray) -> None:
    """Write how much stronger what is held is than what is struck.

    Parameters
    ----------
    y : ndarray, shape (channels, (n + 2 * MARGIN_FRAMES + 3) * n_fft / 4), float32
        Samples as `FrameGrid.read` returns them for `n` frames and the margin to either side.
    n_fft
        The length of the engine's frames.
    out : ndarray, shape (n, n_short_bins(n_fft)), int8
        Receives half the logarithm of the powers' ratio, in steps; the engine's bin `f` lies in column `(f + 2) // 4`.
    """
    length = n_fft // SHORTENING
    hop_length = n_fft // OVERLAP // _HOPS
    codes = _short_codes(y, length, hop_length)
    n = codes.shape[0]
    around = np.arange(n, dtype=np.int32)[:, np.newaxis] + np.arange(-STEADY_RADIUS_FRAMES, STEADY_RADIUS_FRAMES + 1)
    held, struck = np.empty_like(codes), np.empty_like(codes)
    rows = around.clip(0, n - 1).astype(np.int32)
    rank_over_rows(codes, rows, np.full(n, rows.shape[1], np.int32), 0.5, held)
    rank_over_bins(codes, STRUCK_RADIUS_BINS, 0.5, struck)
    # Frame `t` of the engine has its middle where short frame `2 * (t + MARGIN_FRAMES + 2) - 1` has.
    _compare(held, struck, 2 * (MARGIN_FRAMES + 2) - 1, out)


def _short_codes(y: FloatArray, length: int, hop_length: int) -> CodeArray:
    frames = np.lib.stride_tricks.sliding_window_view(y, length, axis=1)[:, ::hop_length]
    D: ComplexArray = scipy.fft.rfft(frames * (hann(length) * np.float32(2 / length)), axis=-1, overwrite_x=True)
    codes = np.empty(D.shape[1:], np.uint16)
    no_bands, no_features = np.full(D.shape[2], -1, np.int32), np.empty((D.shape[1], 1), np.float32)
    encode(D, no_bands, codes, no_features)
    return codes


@njit(cache=True, nogil=True, fastmath=True)
def _compare(held, struck, first, out):  # type: ignore[no-untyped-def]
    """Fill `out` from the codes of the short frames, three of them around each of the engine's."""
    n_bins = out.shape[1]
    magnitude = np.zeros((2, n_bins), np.float32)
    bits = magnitude.view(np.uint32)
    power = np.zeros((2, n_bins), np.float32)
    for t in range(out.shape[0]):
        power[:] = np.float32(_TINY)
        for short in range(first + _HOPS * t - 1, first + _HOPS * t + 2):
            decode(held[short], bits[0])
            decode(struck[short], bits[1])
            for f in range(n_bins):
                power[0, f] += magnitude[0, f] ** 2
                power[1, f] += magnitude[1, f] ** 2
        for f in range(n_bins):
            steps = np.float32(0.5 * STEPS_PER_NEPER) * np.log(power[0, f] / power[1, f])
            out[t, f] = np.int8(np.rint(min(max(steps, np.float32(-127)), np.float32(127))))
