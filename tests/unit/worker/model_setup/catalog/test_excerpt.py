"""The synthesised excerpt, and what its scores tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from worker.engines.interface import FloatArray
from worker.model_setup.catalog.check import SoundCheck, judge
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
    return judge(excerpt, {"vocals": vocals, "accompaniment": accompaniment})


@pytest.mark.parametrize(
    "stems",
    [
        ("drums", "other"),
        ("bass", "other"),
        ("other", "rest"),
        ("vocals", "accompaniment"),
        ("vocals", "drums", "bass", "other"),
    ],
)
def test_a_perfect_separation_into_any_stems_passes_and_a_swapped_one_does_not(stems: tuple[str, ...]) -> None:
    excerpt = make_excerpt()
    parts = {name: excerpt.stems[name] for name in stems[:-1]}
    rest = excerpt.mixture - sum(parts.values())
    perfect = judge(excerpt, {**parts, stems[-1]: rest})
    assert perfect.has_passed
    assert set(perfect.sdr_db) == set(stems)
    assert min(perfect.sdr_db.values()) > 60
    swapped = dict(zip(stems, [rest, *parts.values()], strict=True))
    assert judge(excerpt, swapped).has_passed is False


def test_stems_that_the_excerpt_does_not_have_are_not_scored_and_neither_is_what_is_left_beside_them() -> None:
    excerpt = make_excerpt()
    parts = {name: excerpt.stems[name] for name in ("vocals", "drums", "bass")}
    chords = excerpt.stems["other"]
    found = judge(excerpt, {**parts, "guitar": chords, "piano": np.zeros_like(chords), "other": np.zeros_like(chords)})
    assert set(found.sdr_db) == set(parts)
    assert found.has_passed
    assert judge(excerpt, {"guitar": chords, "other": excerpt.mixture - chords}).has_passed is None
