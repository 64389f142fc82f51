from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.sounds.audio import make_song
from worker.measurements.spectrogram import BANDS, MAX_COLUMNS, SpectrogramView, decibels_below


def view_of(samples: np.ndarray, sample_rate_hz: int, block: int) -> SpectrogramView:
    view = SpectrogramView(sample_rate_hz=sample_rate_hz, n_samples=samples.shape[1])
    for start in range(0, samples.shape[1], block):
        view.add_block(samples[:, start : start + block])
    return view


@pytest.mark.parametrize("seconds", [0.02, 1.0, 70.0])
def test_the_size_of_the_blocks_does_not_matter(seconds: float) -> None:
    song = make_song(seconds, sample_rate_hz=8_000)
    pictures = [view_of(song, 8_000, block).magnitudes() for block in (101, 4_096, 10**6)]
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-6)
    np.testing.assert_allclose(pictures[0], pictures[2], atol=1e-6)


@pytest.mark.parametrize("hz", [100.0, 1_000.0, 9_000.0])
def test_a_sine_appears_in_its_band_with_its_amplitude(hz: float) -> None:
    t = np.arange(44_100 * 2) / 44_100
    sine = (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None]
    view = view_of(sine, 44_100, 50_000)
    picture = view.magnitudes()
    middle = picture[:, picture.shape[1] // 2]
    band = int(middle.argmax())
    assert view.edges_hz[band] * 0.8 <= hz <= view.edges_hz[band + 1] * 1.25
    assert middle[band] == pytest.approx(0.5, rel=0.15)


def test_an_event_appears_in_its_column() -> None:
    samples = np.zeros((1, 8_000 * 100), dtype=np.float32)
    samples[0, 8_000 * 25 : 8_000 * 26] = make_song(1, sample_rate_hz=8_000, channels=1)[0]
    picture = view_of(samples, 8_000, 65_536).magnitudes()
    loud = np.flatnonzero(picture.max(axis=0) > 0.01) / picture.shape[1] * 100
    assert 24.7 < loud.min() < 25.3
    assert 25.7 < loud.max() < 26.3


def test_an_hour_keeps_as_many_columns_as_a_minute() -> None:
    view = SpectrogramView(sample_rate_hz=44_100, n_samples=44_100 * 3600)
    view.add_block(np.zeros((2, 200_000), dtype=np.float32))
    assert view.magnitudes().shape == (BANDS, MAX_COLUMNS)


def test_decibels_are_relative_to_the_peak_and_limited_to_the_range() -> None:
    values = np.array([[1.0, 0.1, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(decibels_below(values, 1.0, range_db=80), [[0, -20, -80]], atol=1e-4)
    assert (decibels_below(np.zeros((2, 3), dtype=np.float32), 0.0, range_db=80) == -80).all()


@pytest.mark.parametrize("second", [-1.0, -0.5, 0.0, 1.0])
def test_channels_out_of_phase_show_like_channels_in_phase(second: float) -> None:
    """The power of the channels is averaged, so only how loud they are counts."""
    song = make_song(1, channels=1)[0]
    out_of_phase = view_of(np.stack([song, second * song]), 44_100, 50_000).magnitudes()
    in_phase = view_of(np.stack([song, abs(second) * song]), 44_100, 50_000).magnitudes()
    np.testing.assert_allclose(out_of_phase, in_phase, rtol=1e-4, atol=1e-7)
    alone = view_of(song[None], 44_100, 50_000).magnitudes()
    np.testing.assert_allclose(out_of_phase, alone * np.sqrt((1 + second**2) / 2), rtol=1e-4, atol=1e-6)
