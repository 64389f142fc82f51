"""The key of pitches that are given."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.measurements.music.key import ALBRECHT_SHANAHAN, MODES, estimate_key, tag_of_key
from worker.measurements.music.pitches import BINS, PitchHistogram


def pitches_of(tonic: int, mode: str, *, cents: int = 0) -> NDArray[np.float64]:
    """Return the pitches of a piece that is as usual as can be, shape (BINS,)."""
    weights = np.zeros(BINS)
    weights[::10] = np.roll(ALBRECHT_SHANAHAN[MODES.index(mode)], tonic)
    return np.roll(weights, cents // 10)


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cents", [0, -40, 30])
def test_each_key_is_found_in_any_tuning(tonic: int, mode: str, cents: int) -> None:
    found = estimate_key(np.stack([pitches_of(tonic, mode, cents=cents)] * 2))
    assert found is not None
    assert (found.tonic, found.mode, found.is_sure) == (tonic, mode, True)


def test_a_song_that_changes_its_key_is_told_none() -> None:
    found = estimate_key(np.stack([2 * pitches_of(0, "major"), pitches_of(6, "major")]))
    assert found is None or not found.is_sure


def test_pitches_that_are_all_alike_or_missing_have_no_key() -> None:
    assert estimate_key(np.zeros((2, BINS))) is None
    alike = estimate_key(np.ones((2, BINS)))
    assert alike is None or not alike.is_sure


@pytest.mark.parametrize(("name", "tag"), [("C major", "C"), ("F# minor", "F#m"), ("Bb major", "Bb")])
def test_a_key_is_tagged_as_id3_writes_it(name: str, tag: str) -> None:
    assert tag_of_key(name) == tag


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 12_000])
def test_a_tone_is_found_within_ten_cents(rate_hz: int) -> None:
    n = 5 * rate_hz
    histogram = PitchHistogram(sample_rate_hz=rate_hz, n_samples=n)
    hz = 440 * 2 ** (23 / 1200)
    histogram.add_block((0.3 * np.sin(2 * np.pi * hz * np.arange(n) / rate_hz)).astype(np.float32))
    assert int(np.argmax(histogram.weights.sum(axis=0))) in {91, 92, 93}
