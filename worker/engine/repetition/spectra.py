"""From spectra to the codes in which they are stored and the features by which they are compared."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engine.repetition.medians import LOWEST_EXPONENT, MANTISSA_SHIFT

N_BANDS = 96
"""Bands by which frames are compared. Fewer are faster and blur chords; more follow single partials."""

BAND_EDGES_HZ = (40.0, 16000.0)
"""Range of the comparison; rumble and hiss tell nothing of what repeats."""


def band_of_bin(n_fft: int, sample_rate_hz: int) -> NDArray[np.int32]:
    """Return for each bin its band, even in mel from the lower to the upper edge, and -1 outside.

    Returns
    -------
    ndarray, shape (n_fft / 2 + 1,), int32
        Below `N_BANDS`, never falling inside the edges.
    """
    frequency_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    low, high = (_mel(np.array(edge)) for edge in BAND_EDGES_HZ)
    place = (_mel(frequency_hz) - low) / (high - low)
    bands = np.floor(place * N_BANDS).astype(np.int32)
    return np.where((place >= 0) & (place < 1), bands, -1).astype(np.int32)


def _mel(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2595 * np.log10(1 + frequency_hz / 700)


@njit(cache=True, nogil=True, fastmath=True)
def encode(D, band_of_bin, codes, features):  # type: ignore[no-untyped-def]
    """Write the codes and the normed features of spectra.

    Parameters
    ----------
    D : ndarray, shape (channels, frames, bins), complex64
        Unchanged.
    band_of_bin : ndarray, shape (bins,), int32
        As from the function of that name.
    codes : ndarray, shape (frames, bins), uint16
        Receives the codes of the magnitudes, all channels taken together: the root of their summed powers.
    features : ndarray, shape (frames, bands), float32
        Receives each band's summed magnitude, divided by the frame's norm; zeros for silence.
    """
    n_channels, n_frames, n_bins = D.shape
    magnitude = np.zeros(n_bins, np.float32)
    for t in range(n_frames):
        magnitude[:] = 0
        for c in range(n_channels):
            for f in range(n_bins):
                magnitude[f] += D[c, t, f].real ** 2 + D[c, t, f].imag ** 2
        for f in range(n_bins):
            magnitude[f] = np.sqrt(magnitude[f])
        bits = magnitude.view(np.int32)
        for f in range(n_bins):
            code = (bits[f] >> np.int32(MANTISSA_SHIFT)) - np.int32(LOWEST_EXPONENT)
            codes[t, f] = np.uint16(min(max(code, np.int32(0)), np.int32(65535)))
        features[t] = 0
        for f in range(n_bins):
            if band_of_bin[f] >= 0:
                features[t, band_of_bin[f]] += magnitude[f]
        norm = np.float32(0)
        for b in range(features.shape[1]):
            norm += features[t, b] ** 2
        if norm > 0:
            features[t] *= np.float32(1) / np.sqrt(norm)
