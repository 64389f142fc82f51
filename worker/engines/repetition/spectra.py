"""Turns spectra into the codes in which they are stored and the features by which they are compared."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engines.repetition.medians import LOWEST_EXPONENT, MANTISSA_SHIFT

N_BANDS = 96
"""Number of bands by which frames are compared. Fewer are faster and blur chords; more follow single partials."""

BAND_EDGES_HZ = (40.0, 16000.0)
"""Frequency range of the comparison. Rumble and hiss say nothing about repetition."""


def band_of_bin(n_fft: int, sample_rate_hz: int) -> NDArray[np.int32]:
    """Return the band of each bin: bands of equal width in mel between the two edges, and -1 outside.

    Returns
    -------
    ndarray, shape (n_fft / 2 + 1,), int32
        From 0 to `N_BANDS - 1`, never falling between the edges.
    """
    frequency_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    low, high = (_mel(np.array(edge)) for edge in BAND_EDGES_HZ)
    place = (_mel(frequency_hz) - low) / (high - low)
    bands = np.floor(place * N_BANDS).astype(np.int32)
    return np.where((place >= 0) & (place < 1), bands, -1).astype(np.int32)


def _mel(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return frequencies in mel, by O'Shaughnessy's formula."""
    return 2595 * np.log10(1 + frequency_hz / 700)


@njit(cache=True, nogil=True, fastmath=True)
def encode_spectra(D, band_of_bin, codes, features):  # type: ignore[no-untyped-def]
    """Write the codes and the normalised features of spectra.

    Parameters
    ----------
    D : ndarray, shape (channels, frames, bins), complex64
        Unchanged.
    band_of_bin : ndarray, shape (bins,), int32
        From the function of the same name.
    codes : ndarray, shape (frames, bins), uint16
        Receives the codes of the magnitudes of all channels together: the square root of their summed powers.
    features : ndarray, shape (frames, bands), float32
        Receives the summed magnitude of each band, divided by the norm of the frame; zeros for silence.
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
