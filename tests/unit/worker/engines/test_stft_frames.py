from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.engines.array_source import ArraySource
from worker.engines.stft_frames import OVERLAP, FrameGrid, analyse, n_fft_near, synthesise


@settings(deadline=None, max_examples=40)
@given(n_samples=st.integers(1, 3000), n_fft=st.sampled_from([64, 256]), seed=st.integers(0, 99))
def test_every_sample_is_rebuilt_from_the_frames_that_touch_it(n_samples: int, n_fft: int, seed: int) -> None:
    y = np.random.default_rng(seed).standard_normal((2, n_samples), np.float32)
    grid = FrameGrid(n_fft, n_samples)
    D = analyse(grid.read_frames(ArraySource(y, 8000), 0, grid.n_frames), n_fft)
    assert D.shape == (2, grid.n_frames, grid.n_bins)
    rebuilt = synthesise(D, n_fft)
    before = (OVERLAP - 1) * grid.hop_length
    np.testing.assert_allclose(rebuilt[:, before : before + n_samples], y, atol=3e-6)


def test_a_sine_of_amplitude_one_has_magnitude_one_half() -> None:
    n_fft = 256
    y = np.sin(2 * np.pi * 16 / n_fft * np.arange(4 * n_fft), dtype=np.float32)[np.newaxis]
    magnitude = np.abs(analyse(y, n_fft))
    assert magnitude[0, 3, 16] == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("sample_rate_hz", "n_fft"), [(1, 64), (8000, 1024), (44_100, 4096), (48_000, 4096), (192_000, 16_384)]
)
def test_frames_last_about_as_long_at_every_rate(sample_rate_hz: int, n_fft: int) -> None:
    assert n_fft_near(0.093, sample_rate_hz) == n_fft
