"""How much of each bin is voice: three signs are weighed against each other.

The signs are how far a bin exceeds what repeats, how steady it is within a moment, and its frequency. Each adds to the
log odds that the bin is voice, as in a logistic regression. The compiled loops below turn signs into gains and apply
gains to spectra.

The two weights and the five numbers of `prior_log_odds` were fitted: they minimise the mean logarithm of the error of a
second, over 26 labelled excerpts of 18 songs. They lie half-way between a fit with 40 neighbours and a fit with ten
neighbours, which is slightly better on most songs and much worse on one. There are seven numbers in all, and no file of
weights.

Throughout, "odds" are odds *against* voice: a gain is `1 / (1 + odds)`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.engines.repetition.medians import decode_magnitudes
from worker.engines.repetition.steadiness import SHORTENING, STEPS_PER_NEPER

REPEATING_WEIGHT = 0.70
"""Weight of the log ratio of what does not repeat to what repeats."""

STEADY_WEIGHT = 1.12
"""Weight of one neper by which held sound exceeds struck sound."""

SOFTENING = 0.02
"""Added to the share that repeats and to the share that does not, so neither can decide a bin alone."""

FADE_RANGE_HZ = (200.0, 5000.0)
"""The frequencies in which the voice's share is measured, to fade out moments without a voice."""

_SHARE_STEPS = 1024
"""Entries of the table of odds by the share that repeats."""


def prior_log_odds(n_fft: int, sample_rate_hz: int) -> FloatArray:
    """Return the log odds of each bin to be voice before anything is known of it.

    They are highest from 500 Hz to 2 kHz, fall on both sides, and fall steeply below 150 Hz.

    Returns
    -------
    ndarray, shape (n_fft / 2 + 1,), float32
        Natural logarithms of the odds *for* voice.
    """
    frequency_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    octaves = np.log2(np.maximum(frequency_hz, 20) / 1000)
    bass = 1 / (1 + np.exp(4 * (octaves + 2.7)))
    hiss = 1 / (1 + np.exp(-4 * (octaves - 3)))
    log_odds = -0.93 + 0.13 * octaves - 0.14 * octaves**2 - 5.7 * bass + 0.87 * hiss
    return np.asarray(log_odds, np.float32)


def repetition_odds_table(decisiveness: float) -> FloatArray:
    """Return the factor of the odds for each share of a bin that repeats, from 0 to 1; shape (1024,), float32."""
    share = np.linspace(0, 1, _SHARE_STEPS)
    odds = ((share + SOFTENING) / (1 - share + SOFTENING)) ** (REPEATING_WEIGHT * decisiveness)
    return odds.astype(np.float32)


def steadiness_odds_table(decisiveness: float) -> FloatArray:
    """Return the factor of the odds for each step of steadiness, from -128 to 127; shape (256,), float32."""
    nepers = np.arange(-128, 128) / STEPS_PER_NEPER
    return np.exp(-STEADY_WEIGHT * decisiveness * nepers).astype(np.float32)


def fade_bin_weights(n_fft: int, sample_rate_hz: int) -> FloatArray:
    """Return 1 for each bin in which the voice's share is measured, else 0; shape (n_fft / 2 + 1,), float32."""
    frequency_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    low, high = FADE_RANGE_HZ
    return ((frequency_hz >= low) & (frequency_hz <= high)).astype(np.float32)


def fade_factors(voice: NDArray[np.float64], total: NDArray[np.float64], least_share: float) -> FloatArray:
    """Return which part of each frame's voice is kept, from 0 to 1.

    Parameters
    ----------
    voice, total : ndarray, shape (frames,), float64
        Energy of the voice and of everything.
    least_share
        The share of the voice at which half is kept. Well below it the voice counts as leakage.

    Returns
    -------
    ndarray, shape (frames,), float32
    """
    share = voice / np.maximum(total, np.finfo(np.float64).tiny)
    kept = share**8 / (share**8 + least_share**8)
    return kept.astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _odds_without_repetition(steadiness, prior, steadiness_odds, out):  # type: ignore[no-untyped-def]
    """Write the odds of each bin of a frame by all signs except the repetition."""
    for f in range(prior.size):
        out[f] = prior[f] * steadiness_odds[np.int32(steadiness[(f + SHORTENING // 2) // SHORTENING]) + 128]


@njit(cache=True, nogil=True, fastmath=True)
def keep_unvoiced(D, steadiness, prior, steadiness_odds):  # type: ignore[no-untyped-def]
    """Scale each bin of `D`, in place, by its probability not to be voice by all signs except the repetition.

    Parameters
    ----------
    D : ndarray, shape (channels, frames, bins), complex64
        The mixture; on return a first guess of the accompaniment.
    steadiness : ndarray, shape (frames, short bins), int8
        From `measure_steadiness`.
    prior : ndarray, shape (bins,), float32
        Odds from `prior_log_odds`.
    steadiness_odds : ndarray, shape (256,), float32
        From `steadiness_odds_table`.
    """
    against = np.zeros(prior.size, np.float32)
    for t in range(D.shape[1]):
        _odds_without_repetition(steadiness[t], prior, steadiness_odds, against)
        for f in range(prior.size):
            against[f] = against[f] / (np.float32(1) + against[f])
        for c in range(D.shape[0]):
            for f in range(prior.size):
                D[c, t, f] *= against[f]


@njit(cache=True, nogil=True, fastmath=True)
def compute_voice_gains(  # type: ignore[no-untyped-def] # noqa: PLR0917 (numba)
    guess, repeating, steadiness, prior, repetition_odds, steadiness_odds, weights, gains, voice, total
):
    """Write the gain of each bin, the energy of each frame, and the energy of each frame's voice.

    Parameters
    ----------
    guess, repeating : ndarray, shape (frames, bins), uint16
        Codes of the first guess of the accompaniment, and of what repeats in it. `keep_unvoiced` made the guess from
        the mixture with known factors, so the mixture is recovered from the guess here.
    steadiness, prior, steadiness_odds
        As for `keep_unvoiced`.
    repetition_odds : ndarray, shape (1024,), float32
        From `repetition_odds_table`.
    weights : ndarray, shape (bins,), float32
        Multiply the energies of the bins.
    gains : ndarray, shape (frames, bins), float32
        Receives the gains, from 0 to 1.
    voice, total : ndarray, shape (frames,), float64
        Receive the energies. Full scale is about 1.
    """
    n_bins = prior.size
    magnitude = np.zeros((2, n_bins), np.float32)
    bits = magnitude.view(np.uint32)
    against = np.zeros(n_bins, np.float32)
    for t in range(guess.shape[0]):
        decode_magnitudes(guess[t], bits[0])
        decode_magnitudes(repeating[t], bits[1])
        _odds_without_repetition(steadiness[t], prior, steadiness_odds, against)
        voice_energy = np.float32(0)
        energy = np.float32(0)
        for f in range(n_bins):
            mixture = magnitude[0, f] * (np.float32(1) + against[f]) / against[f]
            share = min(magnitude[1, f] / (mixture + np.float32(1e-20)), np.float32(1))
            odds = against[f] * repetition_odds[np.int32(share * np.float32(_SHARE_STEPS - 1) + np.float32(0.5))]
            gain = np.float32(1) / (np.float32(1) + odds)
            gains[t, f] = gain
            energy += mixture * mixture * weights[f]
            voice_energy += mixture * mixture * weights[f] * gain
        voice[t] = voice_energy
        total[t] = energy


@njit(cache=True, nogil=True, fastmath=True)
def apply_gains(D, gains, fades):  # type: ignore[no-untyped-def]
    """Scale each bin of `D` in place.

    Parameters
    ----------
    D : ndarray, shape (channels, frames, bins), complex64
        The mixture; on return the voice. All channels of a bin get the same gain, so the stereo image stays as it is.
    gains : ndarray, shape (frames, bins), float32
    fades : ndarray, shape (frames,), float32
        Multiply the gains of each frame.
    """
    n_channels, n_frames, n_bins = D.shape
    for c in range(n_channels):
        for t in range(n_frames):
            for f in range(n_bins):
                D[c, t, f] *= gains[t, f] * fades[t]
