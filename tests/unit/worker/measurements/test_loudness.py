from __future__ import annotations

import math

import numpy as np
import pyloudnorm
import pytest

from tests.fixtures.sounds.audio import make_song
from worker.measurements.loudness import LoudnessMeter, decibels


def measure(samples: np.ndarray, sample_rate_hz: int, block: int = 10_007) -> LoudnessMeter:
    meter = LoudnessMeter(sample_rate_hz=sample_rate_hz, channels=len(samples))
    for start in range(0, samples.shape[1], block):
        meter.add_block(samples[:, start : start + block])
    return meter


@pytest.mark.parametrize("sample_rate_hz", [8_000, 11_025, 35_467, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_agrees_with_pyloudnorm_at_every_rate(sample_rate_hz: int, channels: int) -> None:
    song = make_song(6, sample_rate_hz=sample_rate_hz, channels=channels)
    song[:, : song.shape[1] // 3] *= 0.01  # so that the relative gate has something to close on
    expected = pyloudnorm.Meter(sample_rate_hz, filter_class="DeMan").integrated_loudness(song.T)
    assert measure(song, sample_rate_hz).integrated_lufs() == pytest.approx(expected, abs=0.1)


def test_a_sine_of_997_hz_at_full_scale_in_one_channel_reads_as_the_standard_says() -> None:
    t = np.arange(48_000 * 5) / 48_000
    sine = np.stack([np.sin(2 * np.pi * 997 * t), np.zeros(t.size)]).astype(np.float32)
    assert measure(sine, 48_000).integrated_lufs() == pytest.approx(-3.01, abs=0.05)


def test_the_size_of_the_blocks_does_not_matter() -> None:
    song = make_song(3)
    readings = {measure(song, 44_100, block).integrated_lufs() for block in (997, 44_100, 10**6)}
    assert len(readings) == 1


def test_silence_and_clips_that_are_too_short_have_no_loudness() -> None:
    assert measure(np.zeros((2, 88_200), dtype=np.float32), 44_100).integrated_lufs() is None
    assert measure(make_song(0.3), 44_100).integrated_lufs() is None
    assert LoudnessMeter(sample_rate_hz=44_100, channels=2).integrated_lufs() is None


def test_the_peak_is_the_largest_sample_of_either_sign() -> None:
    samples = np.zeros((2, 1000), dtype=np.float32)
    samples[0, 10], samples[1, 900] = 0.25, -1.5
    meter = measure(samples, 44_100)
    assert meter.peak == 1.5
    assert decibels(meter.peak) == pytest.approx(20 * math.log10(1.5), abs=0.01)
    assert decibels(0.0) is None


def test_the_low_frequency_channel_is_ignored() -> None:
    quiet = np.zeros((6, 44_100 * 2), dtype=np.float32)
    quiet[3] = make_song(2, channels=1)[0]
    assert measure(quiet, 44_100).integrated_lufs() is None
