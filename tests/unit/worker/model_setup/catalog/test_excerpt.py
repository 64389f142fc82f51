"""The synthesised excerpt, and what its scores tell apart."""

from __future__ import annotations

import numpy as np

from worker.engines.interface import FloatArray
from worker.model_setup.catalog.check import SoundCheck, sdr_db
from worker.model_setup.catalog.excerpt import Excerpt, make_excerpt


def test_it_is_the_same_at_every_call_and_fits_below_full_scale() -> None:
    first, second = make_excerpt(), make_excerpt()
    assert np.array_equal(first.mixture, second.mixture)
    assert np.abs(first.mixture).max() < 1
    assert all(np.isfinite(stem).all() and np.abs(stem).max() > 0.1 for stem in first.stems.values())
    assert first.read_samples(100, 200).shape == (2, 100)


def test_right_stems_pass_and_wrong_ones_do_not() -> None:
    excerpt = make_excerpt()
    vocals, rest = excerpt.stems["vocals"], excerpt.mixture - excerpt.stems["vocals"]
    noise = np.random.default_rng(0).normal(0, vocals.std(), vocals.shape).astype(np.float32)
    assert judged(excerpt, vocals + 0.2 * rest, rest - 0.2 * rest).has_passed
    assert not judged(excerpt, rest, vocals).has_passed
    assert not judged(excerpt, noise, excerpt.mixture - noise).has_passed
    assert not judged(excerpt, excerpt.mixture, excerpt.mixture).has_passed
    assert not judged(excerpt, np.zeros_like(vocals), excerpt.mixture).has_passed
    assert SoundCheck({}, {}).has_passed is None


def judged(excerpt: Excerpt, vocals: FloatArray, accompaniment: FloatArray) -> SoundCheck:
    truth = {"vocals": excerpt.stems["vocals"], "accompaniment": excerpt.mixture - excerpt.stems["vocals"]}
    found = {"vocals": vocals, "accompaniment": accompaniment}
    return SoundCheck(
        {name: sdr_db(truth[name], found[name]) for name in truth},
        {name: sdr_db(truth[name], excerpt.mixture) for name in truth},
    )
