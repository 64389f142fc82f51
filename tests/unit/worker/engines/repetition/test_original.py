from __future__ import annotations

import librosa
import numpy as np
import pytest

from tests.unit.worker.engines.array_source import ArraySource
from worker.engines.errors import TrackTooLongError, TrackTooShortError
from worker.engines.interface import FloatArray
from worker.engines.repetition import create


def _by_librosa(y: FloatArray, sr: int) -> FloatArray:
    """Return vocals and accompaniment as the post computes them."""
    S, phase = librosa.magphase(librosa.stft(y))
    width = int(librosa.time_to_frames(2, sr=sr))
    S_filter = np.minimum(S, librosa.decompose.nn_filter(S, aggregate=np.median, metric="cosine", width=width))
    mask_vocals = librosa.util.softmask(S - S_filter, 11 * S_filter, power=3)
    mask_accompaniment = librosa.util.softmask(S_filter, 3 * (S - S_filter), power=3)
    return np.stack([librosa.istft(mask * S * phase, length=y.size) for mask in (mask_vocals, mask_accompaniment)])


@pytest.mark.parametrize("n_samples", [8000 * 12 + 77, 8000 * 30])
def test_the_preset_original_is_within_60_db_of_librosa(n_samples: int) -> None:
    rng = np.random.default_rng(3)
    seconds = np.arange(n_samples) / 8000
    bar = rng.standard_normal(6000) * np.geomspace(1, 0.001, 6000)
    glide = np.sin(2 * np.pi * np.cumsum(400 + 100 * np.sin(2 * np.pi * 0.3 * seconds)) / 8000)
    # A little noise, since librosa's choice among frames that are alike to the bit is arbitrary.
    noise = 0.01 * rng.standard_normal((2, n_samples))
    y = (0.2 * np.resize(bar, n_samples) + 0.1 * np.stack([glide, 0 * glide]) + noise).astype(np.float32)
    stems = np.concatenate(list(create("original", {}).separate(ArraySource(y, 8000), threads=2)), axis=-1)
    for channel in range(2):
        expected = _by_librosa(y[channel], 8000)
        error_db = 20 * np.log10(np.linalg.norm(stems[:, channel] - expected) / np.linalg.norm(expected))
        assert error_db < -60


def test_a_range_is_cut_from_the_whole() -> None:
    y = np.random.default_rng(0).standard_normal((1, 8000 * 6), np.float32)
    engine = create("original", {})
    whole = np.concatenate(list(engine.separate(ArraySource(y, 8000))), axis=-1)
    part = np.concatenate(list(engine.separate(ArraySource(y, 8000), start=9000, stop=20_001)), axis=-1)
    np.testing.assert_array_equal(part, whole[:, :, 9000:20_001])


def test_a_clip_too_short_for_the_method_is_refused() -> None:
    with pytest.raises(TrackTooShortError, match=r"at least 4\.1 s"):
        next(iter(create("original", {}).separate(ArraySource(np.zeros((1, 8000), np.float32), 8000))))


def test_a_track_of_more_than_ten_minutes_is_refused() -> None:
    with pytest.raises(TrackTooLongError, match="preset default has no limit"):
        create("original", {}).check_track(sample_rate_hz=44_100, channels=2, n_samples=44_100 * 601)
