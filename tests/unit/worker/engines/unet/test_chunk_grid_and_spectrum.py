"""The grid of frames, and the transforms over it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engines.unet.chunk_grid import ChunkGrid
from worker.engines.unet.spectrum import ShortTimeFourier

GRID = ChunkGrid(n_fft=64, hop_length=16, chunk_frames=8)


@given(st.integers(0, 10_000), st.integers(1, 3_000))
def test_the_chunks_of_a_range_contain_every_frame_that_touches_it(start, length):
    samples = range(start, start + length)
    chunks = GRID.chunks_touching(samples)
    touching = [
        f
        for f in range(start // 16 - 8, (start + length) // 16 + 8)
        if f * 16 - 48 < samples.stop and (f + 1) * 16 > samples.start
    ]
    assert chunks[0] == touching[0] // 8
    assert chunks[-1] == touching[-1] // 8


@given(st.integers(0, 10_000), st.integers(1, 3_000))
def test_what_the_chunks_complete_covers_the_range(start, length):
    chunks = GRID.chunks_touching(range(start, start + length))
    assert GRID.first_sample(chunks.start) <= start
    assert GRID.first_sample(chunks.stop) >= start + length


@pytest.mark.parametrize("hop_length", [1024, 512])
def test_frames_that_are_not_masked_add_up_to_the_samples(hop_length):
    y = np.random.default_rng(0).standard_normal((2, 4096 + 39 * hop_length)).astype(np.float32)
    fourier = ShortTimeFourier(4096, hop_length, 2049)
    D, S = fourier.analyse(y, 1024)
    assert S.shape == (2, 40, 1024)
    assert np.allclose(S, np.abs(D[..., :1024]))
    (again,) = fourier.synthesise(D, 1, lambda frames: np.ones((1, *D[:, frames].shape), np.float32))
    lead = 4096 - hop_length
    assert np.abs(again - y)[:, lead:-lead].max() < 1e-5


def test_the_spectrum_is_that_of_a_periodic_hann_window():
    y = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    window = np.sin(np.pi * np.arange(64) / 64) ** 2
    D, _ = ShortTimeFourier(64, 16, 33).analyse(y, 33)
    assert np.allclose(D[0, 0], np.fft.rfft(y[0] * window), atol=1e-5)
