from __future__ import annotations

import numpy as np

from worker.engines.interface import FloatArray
from worker.engines.repetition.steadiness import MARGIN_FRAMES, SteadinessArray, measure_steadiness, n_short_bins

N_FFT = 1024
HOP_LENGTH = N_FFT // 4
N_FRAMES = 20
N_SAMPLES = (N_FRAMES + 2 * MARGIN_FRAMES + 3) * HOP_LENGTH


def _steadiness(y: FloatArray) -> SteadinessArray:
    out = np.empty((N_FRAMES, n_short_bins(N_FFT)), np.int8)
    measure_steadiness(y[np.newaxis].astype(np.float32), N_FFT, out)
    return out


def test_a_note_is_steady_and_a_stroke_is_not() -> None:
    samples = np.arange(N_SAMPLES)
    note = _steadiness(0.1 * np.sin(2 * np.pi * 16 / 256 * samples))
    assert note[:, 16].min() > 60
    stroke_frame = 10
    stroke = np.zeros(N_SAMPLES)
    # The middle of frame `t`, which starts `MARGIN_FRAMES` frames after the first sample.
    stroke[(stroke_frame + MARGIN_FRAMES + 2) * HOP_LENGTH] = 1
    assert _steadiness(stroke)[stroke_frame].max() < -60


def test_silence_is_neither_steady_nor_struck() -> None:
    assert not _steadiness(np.zeros(N_SAMPLES)).any()


def test_noise_is_hardly_steady_or_struck() -> None:
    noise = _steadiness(np.random.default_rng(0).standard_normal(N_SAMPLES))
    assert abs(float(np.median(noise))) < 10


def test_steadiness_does_not_depend_on_what_lies_beyond_the_margin() -> None:
    y = np.random.default_rng(1).standard_normal(N_SAMPLES + HOP_LENGTH)
    whole, later = _steadiness(y[:N_SAMPLES]), _steadiness(y[HOP_LENGTH:])
    np.testing.assert_array_equal(whole[1:], later[:-1])
