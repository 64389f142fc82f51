from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engines.interface import FloatArray
from worker.engines.repetition.gains import (
    apply_gains,
    compute_voice_gains,
    fade_factors,
    keep_unvoiced,
    prior_log_odds,
    repetition_odds_table,
    steadiness_odds_table,
)
from worker.engines.repetition.medians import CodeArray, decode_magnitudes
from worker.engines.repetition.spectra import encode_spectra
from worker.engines.repetition.steadiness import SteadinessArray, n_short_bins

N_FFT = 256
N_BINS = N_FFT // 2 + 1
PRIOR = np.exp(-prior_log_odds(N_FFT, 8000)).astype(np.float32)


def _codes(D: FloatArray) -> CodeArray:
    codes = np.empty(D.shape[1:], np.uint16)
    encode_spectra(D.astype(np.complex64), np.full(N_BINS, -1, np.int32), codes, np.empty((D.shape[1], 1), np.float32))
    return codes


def _gains(guess: CodeArray, repeating: CodeArray, steadiness: SteadinessArray) -> tuple[FloatArray, FloatArray]:
    gains = np.empty(guess.shape, np.float32)
    voice, total = np.empty((2, len(guess)))
    odds = repetition_odds_table(1.0), steadiness_odds_table(1.0)
    compute_voice_gains(guess, repeating, steadiness, PRIOR, *odds, np.ones(N_BINS, np.float32), gains, voice, total)
    return gains, np.stack([voice, total])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999))
def test_the_mixtures_energy_is_recovered_from_the_first_guess(seed: int) -> None:
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((2, 3, N_BINS)).astype(np.complex64)
    steadiness = rng.integers(-127, 128, (3, n_short_bins(N_FFT))).astype(np.int8)
    guess = D.copy()
    keep_unvoiced(guess, steadiness, PRIOR, steadiness_odds_table(1.0))
    assert (np.abs(guess) <= np.abs(D)).all()
    codes = _codes(guess)
    gains, (voice, total) = _gains(codes, codes, steadiness)
    energy = (np.abs(D) ** 2).sum(axis=0)
    np.testing.assert_allclose(total, energy.sum(axis=1), rtol=2e-3)
    np.testing.assert_allclose(voice, (gains * energy).sum(axis=1), rtol=2e-3)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999), steps=st.integers(-127, 100), more=st.integers(1, 27))
def test_a_bin_that_repeats_less_or_is_steadier_has_a_higher_gain(seed: int, steps: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    guess = _codes(rng.uniform(0.01, 1, (1, 2, N_BINS)))
    repeating = guess - rng.integers(0, 4000, guess.shape).astype(np.uint16)
    steadiness = np.full((2, n_short_bins(N_FFT)), steps, np.int8)
    gains, _ = _gains(guess, repeating, steadiness)
    assert ((gains >= 0) & (gains <= 1)).all()
    repeats_less, _ = _gains(guess, repeating - 2048, steadiness)
    assert (repeats_less >= gains).all()
    # The guess is of the same mixture: what is steadier has lost more of it.
    mixture = np.empty(guess.shape, np.float32)
    decode_magnitudes(guess.ravel(), mixture.view(np.uint32).ravel())
    steadier = (steadiness + more).astype(np.int8)
    twice = np.stack([mixture[np.newaxis]] * 2).astype(np.complex64)
    for D, steps_of_it in zip(twice, (steadiness, steadier), strict=True):
        keep_unvoiced(D, steps_of_it, PRIOR, steadiness_odds_table(1.0))
    before, after = (_gains(_codes(D), repeating, s)[0] for D, s in zip(twice, (steadiness, steadier), strict=True))
    assert (after >= before - 1e-3).all()


def test_the_bass_is_hardly_ever_voice() -> None:
    frequency_hz = np.arange(2049) * 44_100 / 4096
    odds = np.exp(prior_log_odds(4096, 44_100))
    assert odds[frequency_hz < 80].max() < 0.01 < odds[(frequency_hz > 300) & (frequency_hz < 3000)].min()


def test_moments_with_little_voice_are_faded_out() -> None:
    kept = fade_factors(np.array([0.0, 0.1, 0.2, 0.5, 1.0]), np.ones(5), 0.2)
    assert (np.diff(kept) > 0).all()
    np.testing.assert_allclose(kept[[0, 2]], [0, 0.5])
    assert not fade_factors(np.zeros(1), np.zeros(1), 0.2).any()


def test_every_channel_of_a_bin_gets_the_same_gain() -> None:
    D = np.ones((2, 1, N_BINS), np.complex64)
    D[1] = -2j
    apply_gains(D, np.full((1, N_BINS), 0.5, np.float32), np.array([0.5], np.float32))
    np.testing.assert_array_equal(D[:, 0, 0], [0.25, -0.5j])
