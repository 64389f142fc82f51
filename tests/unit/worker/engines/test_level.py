"""The level of a song: what is measured, and that it does not depend on how the song is read."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.worker.engines.array_source import ArraySource
from worker.engines.level import READ_SAMPLES, LevelMeter, SongLevel, gain_to_peak, level_of


def song(channels: int = 2, n: int = 100_000) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((channels, n)) + 0.02).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_level_is_the_peak_and_the_deviation_of_the_mean_of_all_channels(channels):
    y = song(channels, READ_SAMPLES + 1000)
    found, middle = level_of(ArraySource(y, 44_100)), y.mean(axis=0, dtype=np.float64)
    assert found.peak == np.abs(y).max()
    assert found.mean == pytest.approx(middle.mean(), rel=1e-6)
    assert found.deviation == pytest.approx(middle.std(ddof=1), rel=1e-6)


def test_the_largest_sample_may_be_negative():
    meter = LevelMeter()
    meter.add_block(np.array([[0.1, -0.7, 0.2]], np.float32))
    meter.add_block(np.zeros((1, 0), np.float32))
    assert meter.level().peak == pytest.approx(0.7)


def test_a_source_that_knows_the_level_of_the_song_is_not_measured():
    class Part(ArraySource):
        song_level = SongLevel(0.5, 0.0, 0.1)

    assert level_of(Part(song(), 44_100)) == SongLevel(0.5, 0.0, 0.1)


def test_silence_and_nothing_have_no_level_and_keep_it():
    for n in (0, 1, 100):
        level = level_of(ArraySource(np.zeros((2, n), np.float32), 44_100))
        assert level == SongLevel()
        assert gain_to_peak(level, 0.9) == 1.0


def test_every_level_is_brought_to_the_peak_except_that_of_rounding():
    for peak in (4.0, 1.0, 0.01, 1e-4):
        assert gain_to_peak(SongLevel(peak), 0.9) * peak == pytest.approx(0.9)
    assert gain_to_peak(SongLevel(1e-30), 1.0) == pytest.approx(1e5)
