"""How much of each bin is voice: three signs weighed against each other.

Owns the weights, the fading of what is no voice, and the loops that turn signs into gains and gains into a
voice. The signs are how far a bin exceeds what repeats, how steady it is within a moment, and how high it is.
Each adds to the logarithm of the odds that the bin is voice, as in a logistic regression.

The constants of `_Weights` were fitted once, so that the mean logarithm of a second's error was least over labelled
excerpts of twenty songs. They are seven numbers that say how much each sign is worth, and nothing is loaded.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engine.interface import FloatArray
from worker.engine.repetition.medians import decode
from worker.engine.repetition.steadiness import SHORTENING, STEPS_PER_NEPER

REPEATING_WEIGHT = 0.34
"""Worth of the logarithm of how far a bin exceeds what repeats, over what repeats."""

STEADY_WEIGHT = 1.41
"""Worth of a neper by which what is held exceeds what is struck."""

SOFTENING = 0.02
"""Added to the share that repeats and to the one that does not, so that neither settles a bin by itself."""

FADE_RANGE_HZ = (200.0, 5000.0)
"""Where the share of the voice is measured by which moments without any are faded out."""

_SHARES = 1024
"""Entries of the table of what a share that repeats is worth."""


def prior_log_odds(n_fft: int, sample_rate_hz: int) -> FloatArray:
    """Return how likely each bin is voice before anything is known of it.

    Returns
    -------
    ndarray, shape (n_fft / 2 + 1,), float32
        Logarithms of odds: highest from 500 Hz to 2 kHz, falling to both sides and steeply below 150 Hz.
    """
    frequency_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    octaves = np.log2(np.maximum(frequency_hz, 20) / 1000)
    bass = 1 / (1 + np.exp(4 * (octaves + 2.7)))
    hiss = 1 / (1 + np.exp(-4 * (octaves - 3)))
    log_odds = -0.43 + 0.23 * octaves - 0.2755 * octaves**2 - 3.64 * bass + 0.86 * hiss
    return np.asarray(log_odds, np.float32)


def odds_of_shares(decisiveness: float) -> FloatArray:
    """Return the factor of the odds against a voice for shares that repeat, from 0 to 1, shape (1024,), float32."""
    share = np.linspace(0, 1, _SHARES)
    odds = ((share + SOFTENING) / (1 - share + SOFTENING)) ** (REPEATING_WEIGHT * decisiveness)
    return odds.astype(np.float32)


def odds_of_steps(decisiveness: float) -> FloatArray:
    """Return the factor of the odds against a voice for each step of steadiness from -128 on, shape (256,), float32."""
    nepers = np.arange(-128, 128) / STEPS_PER_NEPER
    return np.exp(-STEADY_WEIGHT * decisiveness * nepers).astype(np.float32)


def fade_weight(n_fft: int, sample_rate_hz: int) -> FloatArray:
    """Return 1 for the bins by which the share of the voice is measured, else 0, shape (n_fft / 2 + 1,), float32."""
    frequency_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    low, high = FADE_RANGE_HZ
    return ((frequency_hz >= low) & (frequency_hz <= high)).astype(np.float32)


def fade(foreground: NDArray[np.float64], total: NDArray[np.float64], least_share: float) -> FloatArray:
    """Return how much of each frame's voice is kept: 0 where its share of the energy is leakage's, 0.5 at the least."""
    share = foreground / np.maximum(total, np.finfo(np.float64).tiny)
    kept = share**4 / (share**4 + least_share**4)
    return kept.astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def voice_gains(mixture, repeating, steadiness, prior, of_shares, of_steps, gains):  # type: ignore[no-untyped-def] # noqa: PLR0917 (numba)
    """Write each bin's gain.

    Parameters
    ----------
    mixture, repeating : ndarray, shape (frames, bins), uint16
        Codes.
    steadiness : ndarray, shape (frames, short bins), int8
        As from `measure_steadiness`.
    prior : ndarray, shape (bins,), float32
        Odds against a voice.
    of_shares, of_steps : ndarray, float32
        As from `odds_of_shares` and `odds_of_steps`.
    gains : ndarray, shape (frames, bins), float32
        Receives the gains, from 0 to 1.
    """
    n_bins = prior.size
    magnitude = np.zeros((2, n_bins), np.float32)
    bits = magnitude.view(np.uint32)
    steady = np.zeros(n_bins, np.float32)
    for t in range(mixture.shape[0]):
        decode(mixture[t], bits[0])
        decode(repeating[t], bits[1])
        for f in range(n_bins):
            steady[f] = of_steps[np.int32(steadiness[t, (f + SHORTENING // 2) // SHORTENING]) + 128]
        for f in range(n_bins):
            share = min(magnitude[1, f] / (magnitude[0, f] + np.float32(1e-20)), np.float32(1))
            against = prior[f] * steady[f] * of_shares[np.int32(share * np.float32(_SHARES - 1) + np.float32(0.5))]
            gains[t, f] = np.float32(1) / (np.float32(1) + against)


@njit(cache=True, nogil=True, fastmath=True)
def sum_energies(mixture, gains, weight, foreground, total):  # type: ignore[no-untyped-def]
    """Write each frame's energy and that of its voice.

    Parameters
    ----------
    mixture : ndarray, shape (frames, bins), uint16
        Codes.
    gains : ndarray, shape (frames, bins), float32
    weight : ndarray, shape (bins,), float32
        Multiplies the energies.
    foreground, total : ndarray, shape (frames,), float64
        Receive the energies; full scale is about 1.
    """
    magnitude = np.zeros(weight.size, np.float32)
    for t in range(mixture.shape[0]):
        decode(mixture[t], magnitude.view(np.uint32))
        voice = np.float32(0)
        whole = np.float32(0)
        for f in range(weight.size):
            energy = magnitude[f] * magnitude[f] * weight[f]
            voice += energy * gains[t, f]
            whole += energy
        foreground[t] = voice
        total[t] = whole


@njit(cache=True, nogil=True, fastmath=True)
def keep_voice(D, gains, fades):  # type: ignore[no-untyped-def]
    """Scale each bin of `D` in place.

    Parameters
    ----------
    D : ndarray, shape (channels, frames, bins), complex64
        The mixture on entry, the voice on return. All channels of a bin get the same gain, so stereo stays
        in place.
    gains : ndarray, shape (frames, bins), float32
    fades : ndarray, shape (frames,), float32
        Multiplies the gains of a frame.
    """
    n_channels, n_frames, n_bins = D.shape
    for c in range(n_channels):
        for t in range(n_frames):
            for f in range(n_bins):
                D[c, t, f] *= gains[t, f] * fades[t]
