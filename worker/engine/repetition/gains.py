"""How much of each bin is voice: three signs weighed against each other.

Owns the weights, the fading of what is no voice, and the loops that turn signs into gains and gains into a
voice. The signs are how far a bin exceeds what repeats, how steady it is within a moment, and how high it is.
Each adds to the logarithm of the odds that the bin is voice, as in a logistic regression.

The weights and the five numbers of `prior_log_odds` were fitted, so that over 26 labelled excerpts of 18 songs the mean
logarithm of a second's error was least. They lie half-way between a fit with 40 neighbours and one with ten, which is
a little better on most songs and much worse on one. They are seven numbers in all, and nothing is loaded.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engine.interface import FloatArray
from worker.engine.repetition.medians import decode
from worker.engine.repetition.steadiness import SHORTENING, STEPS_PER_NEPER

REPEATING_WEIGHT = 0.70
"""Worth of the logarithm of how far a bin exceeds what repeats, over what repeats."""

STEADY_WEIGHT = 1.12
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
    log_odds = -0.93 + 0.13 * octaves - 0.14 * octaves**2 - 5.7 * bass + 0.87 * hiss
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


def fade(voice: NDArray[np.float64], total: NDArray[np.float64], least_share: float) -> FloatArray:
    """Return how much of each frame's voice is kept: 0 where its share of the energy is leakage's, 0.5 at the least."""
    share = voice / np.maximum(total, np.finfo(np.float64).tiny)
    kept = share**8 / (share**8 + least_share**8)
    return kept.astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _odds_against(steadiness, prior, of_steps, out):  # type: ignore[no-untyped-def]
    """Write the odds against a voice by all signs but the repetition."""
    for f in range(prior.size):
        out[f] = prior[f] * of_steps[np.int32(steadiness[(f + SHORTENING // 2) // SHORTENING]) + 128]


@njit(cache=True, nogil=True, fastmath=True)
def drop_steady(D, steadiness, prior, of_steps):  # type: ignore[no-untyped-def]
    """Scale each bin of `D` in place to what is no voice by all signs but the repetition.

    Parameters
    ----------
    D : ndarray, shape (channels, frames, bins), complex64
        The mixture on entry, a first guess of the accompaniment on return.
    steadiness : ndarray, shape (frames, short bins), int8
        As from `measure_steadiness`.
    prior : ndarray, shape (bins,), float32
        Odds against a voice.
    of_steps : ndarray, float32
        As from `odds_of_steps`.
    """
    against = np.zeros(prior.size, np.float32)
    for t in range(D.shape[1]):
        _odds_against(steadiness[t], prior, of_steps, against)
        for f in range(prior.size):
            against[f] = against[f] / (np.float32(1) + against[f])
        for c in range(D.shape[0]):
            for f in range(prior.size):
                D[c, t, f] *= against[f]


@njit(cache=True, nogil=True, fastmath=True)
def voice_gains(guess, repeating, steadiness, prior, of_shares, of_steps, weight, gains, voice, total):  # type: ignore[no-untyped-def] # noqa: PLR0917 (numba)
    """Write each bin's gain, each frame's energy, and that of its voice.

    Parameters
    ----------
    guess, repeating : ndarray, shape (frames, bins), uint16
        Codes of the first guess of the accompaniment, and of what repeats in it. The mixture is found again from the
        guess, since what was dropped is known.
    steadiness, prior, of_steps
        As for `drop_steady`.
    of_shares : ndarray, float32
        As from `odds_of_shares`.
    weight : ndarray, shape (bins,), float32
        Multiplies the energies.
    gains : ndarray, shape (frames, bins), float32
        Receives the gains, from 0 to 1.
    voice, total : ndarray, shape (frames,), float64
        Receive the energies; full scale is about 1.
    """
    n_bins = prior.size
    magnitude = np.zeros((2, n_bins), np.float32)
    bits = magnitude.view(np.uint32)
    against = np.zeros(n_bins, np.float32)
    for t in range(guess.shape[0]):
        decode(guess[t], bits[0])
        decode(repeating[t], bits[1])
        _odds_against(steadiness[t], prior, of_steps, against)
        voice_energy = np.float32(0)
        energy = np.float32(0)
        for f in range(n_bins):
            mixture = magnitude[0, f] * (np.float32(1) + against[f]) / against[f]
            share = min(magnitude[1, f] / (mixture + np.float32(1e-20)), np.float32(1))
            odds = against[f] * of_shares[np.int32(share * np.float32(_SHARES - 1) + np.float32(0.5))]
            gain = np.float32(1) / (np.float32(1) + odds)
            gains[t, f] = gain
            energy += mixture * mixture * weight[f]
            voice_energy += mixture * mixture * weight[f] * gain
        voice[t] = voice_energy
        total[t] = energy


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
