"""Measures how steady each frequency is within a moment: a sung note lasts a tenth of a second, a drum stroke does not.

In a spectrogram a note is a line along time and a stroke is a line along frequency. The median over neighbouring frames
keeps the note, and the median over neighbouring frequencies keeps the stroke (D. FitzGerald, "Harmonic/Percussive
Separation Using Median Filtering", DAFx 2010; this is the second stage of two-stage HPSS). This module uses frames that
are four times shorter than the engine's: in these, strokes stay narrow and a vibrato still looks steady.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.engines.repetition.medians import CodeArray, decode_magnitudes, rank_over_bins, rank_over_rows
from worker.engines.repetition.spectra import encode_spectra
from worker.engines.stft_frames import OVERLAP, ComplexArray, frames_of, hann_window

SteadinessArray = NDArray[np.int8]

SHORTENING = 4
"""How many times shorter the frames are than the engine's: 23 ms."""

MARGIN_FRAMES = 3
"""Frames of the engine on each side whose samples are needed too."""

STEADY_RADIUS_FRAMES = 7
"""Short frames (12 ms apart) on each side over which a note must last: 0.17 s in all."""

STRUCK_RADIUS_BINS = 8
"""Bins of the short frames on each side over which strokes are found: 0.7 kHz in all."""

STEPS_PER_NEPER = 31.0
"""Resolution of the result, which is limited to 127 steps: about 4 nepers (36 dB)."""

_HOPS = 2 * OVERLAP // SHORTENING
"""Short frames per frame of the engine. Short frames overlap by half."""

_TINY = 1e-14
"""A power far below the last bit of 24-bit audio, so silence is neither steady nor struck."""


def n_short_bins(n_fft: int) -> int:
    """Return the number of bins of a short frame, for frames of the engine with `n_fft` samples."""
    return n_fft // SHORTENING // 2 + 1


def measure_steadiness(y: FloatArray, n_fft: int, out: SteadinessArray) -> None:
    """Write how much stronger held sound is than struck sound.

    Parameters
    ----------
    y : ndarray, shape (channels, (n + 2 * MARGIN_FRAMES + 3) * n_fft / 4), float32
        Samples as `FrameGrid.read_frames` returns them for `n` frames and the margin on each side.
    n_fft
        The length of the engine's frames.
    out : ndarray, shape (n, n_short_bins(n_fft)), int8
        Receives half the logarithm of the ratio of their powers, in steps of `1 / STEPS_PER_NEPER` nepers. Bin `f` of
        the engine corresponds to column `(f + 2) // 4`.
    """
    length = n_fft // SHORTENING
    hop_length = n_fft // OVERLAP // _HOPS
    codes = _encode_short_frames(y, length, hop_length)
    n = codes.shape[0]
    around = np.arange(n, dtype=np.int32)[:, np.newaxis] + np.arange(-STEADY_RADIUS_FRAMES, STEADY_RADIUS_FRAMES + 1)
    rows = around.clip(0, n - 1).astype(np.int32)
    held, struck = np.empty_like(codes), np.empty_like(codes)
    rank_over_rows(codes, rows, np.full(n, rows.shape[1], np.int32), 0.5, held)
    rank_over_bins(codes, STRUCK_RADIUS_BINS, 0.5, struck)
    # The centre of the engine's frame `t` is the centre of short frame `2 * (t + MARGIN_FRAMES + 2) - 1`.
    _compare_powers(held, struck, 2 * (MARGIN_FRAMES + 2) - 1, out)


def _encode_short_frames(y: FloatArray, length: int, hop_length: int) -> CodeArray:
    """Return the codes of all short frames, shape (short frames, short bins)."""
    window = hann_window(length) * np.float32(2 / length)
    D: ComplexArray = scipy.fft.rfft(frames_of(y, length, hop_length) * window, axis=-1, overwrite_x=True)
    codes = np.empty(D.shape[1:], np.uint16)
    no_bands, no_features = np.full(D.shape[2], -1, np.int32), np.empty((D.shape[1], 1), np.float32)
    encode_spectra(D, no_bands, codes, no_features)
    return codes


@njit(cache=True, nogil=True, fastmath=True)
def _compare_powers(held, struck, first, out):  # type: ignore[no-untyped-def]
    """Fill `out` from the codes of the short frames. Three short frames surround each frame of the engine."""
    n_bins = out.shape[1]
    magnitude = np.zeros((2, n_bins), np.float32)
    bits = magnitude.view(np.uint32)
    power = np.zeros((2, n_bins), np.float32)
    for t in range(out.shape[0]):
        power[:] = np.float32(_TINY)
        for short in range(first + _HOPS * t - 1, first + _HOPS * t + 2):
            decode_magnitudes(held[short], bits[0])
            decode_magnitudes(struck[short], bits[1])
            for f in range(n_bins):
                power[0, f] += magnitude[0, f] ** 2
                power[1, f] += magnitude[1, f] ** 2
        for f in range(n_bins):
            steps = np.float32(0.5 * STEPS_PER_NEPER) * np.log(power[0, f] / power[1, f])
            out[t, f] = np.int8(np.rint(min(max(steps, np.float32(-127)), np.float32(127))))
