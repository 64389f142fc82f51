"""From spectra to codes and features, and from backgrounds to gains: the loops that touch every bin once.

Owns what is compiled for that; which frames are compared is the business of the modules beside it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engine.interface import FloatArray
from worker.engine.repetition.medians import LOWEST_EXPONENT, MANTISSA_SHIFT, decode

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


def voice_weight(n_fft: int, sample_rate_hz: int, low_hz: float, high_hz: float) -> FloatArray:
    """Return how far each bin may belong to a voice: 18 dB per octave less outside `low_hz` to `high_hz`.

    Returns
    -------
    ndarray, shape (n_fft / 2 + 1,), float32
        0 at 0 Hz, 0.5 at the edges.
    """
    frequency_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    weight = frequency_hz**3 / (frequency_hz**3 + low_hz**3) / (1 + (frequency_hz / high_hz) ** 3)
    return weight.astype(np.float32)


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


@njit(cache=True, nogil=True, fastmath=True)
def sum_energies(mixture, background, weight, foreground, total):  # type: ignore[no-untyped-def]
    """Write each frame's energy, and that of what exceeds the background, over the range of voices.

    Parameters
    ----------
    mixture, background : ndarray, shape (frames, bins), uint16
        Codes.
    weight : ndarray, shape (bins,), float32
        Bins below 0.5 are left out.
    foreground, total : ndarray, shape (frames,), float64
        Receive the energies; full scale is about 1.
    """
    first, stop = 0, weight.size
    while first < stop and weight[first] < 0.5:
        first += 1
    while stop > first and weight[stop - 1] < 0.5:
        stop -= 1
    magnitude = np.zeros((2, weight.size), np.float32)
    bits = magnitude.view(np.uint32)
    for t in range(mixture.shape[0]):
        decode(mixture[t, first:stop], bits[0, first:stop])
        decode(background[t, first:stop], bits[1, first:stop])
        above = np.float32(0)
        whole = np.float32(0)
        for f in range(first, stop):
            above += magnitude[0, f] * max(magnitude[0, f] - magnitude[1, f], np.float32(0)) * weight[f]
            whole += magnitude[0, f] * magnitude[0, f]
        foreground[t] = above
        total[t] = whole


@njit(cache=True, nogil=True, fastmath=True)
def keep_voice(D, background, weight, fade, margin, exponent):  # type: ignore[no-untyped-def] # noqa: PLR0917 (numba)
    """Scale each bin of `D` in place to what exceeds the background.

    Parameters
    ----------
    D : ndarray, shape (channels, frames, bins), complex64
        The mixture on entry, the voice on return. All channels of a bin get the same gain, so stereo stays
        in place.
    background : ndarray, shape (frames, bins), float32
        Magnitudes, all channels taken together.
    weight : ndarray, shape (bins,), float32
        Multiplies the gains of a bin.
    fade : ndarray, shape (frames,), float32
        Multiplies the gains of a frame.
    margin
        Multiplies the background.
    exponent
        The gain's power; 1 subtracts magnitudes.
    """
    n_channels, n_frames, n_bins = D.shape
    share = np.zeros(n_bins, np.float32)
    margin = np.float32(margin)
    exponent = np.float32(exponent)
    for t in range(n_frames):
        share[:] = 0
        for c in range(n_channels):
            for f in range(n_bins):
                share[f] += D[c, t, f].real ** 2 + D[c, t, f].imag ** 2
        for f in range(n_bins):
            share[f] = max(
                np.float32(1) - margin * background[t, f] / np.sqrt(share[f] + np.float32(1e-30)),
                np.float32(0),
            )
        for f in range(n_bins):
            share[f] = fade[t] * weight[f] * share[f] ** exponent
        for c in range(n_channels):
            for f in range(n_bins):
                D[c, t, f] *= share[f]
