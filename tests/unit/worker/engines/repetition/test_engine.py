from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.engines.array_source import ArraySource
from worker.engines.errors import InvalidParameterError
from worker.engines.interface import FloatArray, SeparationEngine
from worker.engines.repetition import DESCRIPTION, create
from worker.engines.repetition.track_tiles import BANK_TILES, TILE_FRAMES

SLOW_RATE_HZ = 1000
"""At this rate a frame has 128 samples, so that tracks longer than the bank are quick to separate."""

BANK_SAMPLES = BANK_TILES * TILE_FRAMES * 32


def _separate(engine: SeparationEngine, y: FloatArray, rate_hz: int, *, threads: int = 1, **limits: int) -> FloatArray:
    blocks: Iterator[FloatArray] = engine.separate(ArraySource(y, rate_hz), threads=threads, **limits)
    return np.concatenate([np.zeros((2, y.shape[0], 0), np.float32), *blocks], axis=-1)


def _song(n_samples: int, *, channels: int = 2, seed: int = 0) -> FloatArray:
    """Return noise bursts that repeat, and a tone that does not."""
    rng = np.random.default_rng(seed)
    bar = rng.standard_normal((channels, 1500)) * np.geomspace(1, 0.01, 1500)
    bars = np.tile(bar, (1, n_samples // 1500 + 1))[:, :n_samples]
    glide = np.sin(np.cumsum(np.linspace(0.9, 1.5, n_samples)))
    return (0.1 * bars + 0.1 * glide).astype(np.float32)


@settings(deadline=None, max_examples=25)
@given(
    n_samples=st.integers(1, 30_000),
    channels=st.integers(1, 3),
    peak=st.sampled_from([1e-6, 0.5, 4.0]),
    preset=st.sampled_from([p.name for p in DESCRIPTION.presets if p.name != "original"]),
    rate_hz=st.sampled_from([1, 1000, 8000, 44_100]),
)
def test_stems_are_finite_as_long_as_the_mixture_and_add_up_to_it(
    n_samples: int, channels: int, peak: float, preset: str, rate_hz: int
) -> None:
    y = (peak * np.random.default_rng(n_samples).uniform(-1, 1, (channels, n_samples))).astype(np.float32)
    stems = _separate(create(preset, {}), y, rate_hz)
    assert stems.shape == (2, channels, n_samples)
    assert np.isfinite(stems).all()
    np.testing.assert_allclose(stems.sum(axis=0), y, rtol=0, atol=4 * np.finfo(np.float32).eps * peak)


@settings(deadline=None, max_examples=10)
@given(
    start=st.integers(0, 40_000),
    length=st.integers(0, 30_000),
    threads=st.integers(1, 4),
)
def test_a_range_is_identical_to_the_same_range_of_the_whole_for_any_number_of_threads(
    start: int, length: int, threads: int
) -> None:
    y = _song(70_000)
    engine = create("default", {})
    whole = _separate(engine, y, SLOW_RATE_HZ)
    part = _separate(engine, y, SLOW_RATE_HZ, threads=threads, start=start, stop=start + length)
    np.testing.assert_array_equal(part, whole[:, :, start : start + length])


def test_a_range_of_a_track_longer_than_the_bank_is_identical_to_that_of_the_whole() -> None:
    y = _song(int(1.5 * BANK_SAMPLES), channels=1)
    engine = create("default", {})
    whole = _separate(engine, y, SLOW_RATE_HZ, threads=2)
    assert whole.shape[-1] == y.shape[-1]
    for start in (0, BANK_SAMPLES // 2, BANK_SAMPLES, y.shape[1] - 9000):
        part = _separate(engine, y, SLOW_RATE_HZ, start=start, stop=start + 9000)
        np.testing.assert_array_equal(part, whole[:, :, start : start + 9000])


def test_what_repeats_goes_to_the_accompaniment_and_what_does_not_to_the_vocals() -> None:
    rate_hz = 8000
    rng = np.random.default_rng(1)
    seconds = np.arange(40 * rate_hz) / rate_hz
    # A chord in half of each second, and a voice with a vibrato whose notes follow no pattern.
    gate = (seconds % 1 < 0.5) * 1.0
    chord = sum(np.sin(2 * np.pi * f * seconds) for f in (220, 277, 330, 440)) * gate * 0.1
    notes_hz = np.repeat(rng.uniform(300, 900, 80), rate_hz // 2) * (1 + 0.03 * np.sin(2 * np.pi * 6 * seconds))
    voice = 0.1 * sum(np.sin(h * 2 * np.pi * np.cumsum(notes_hz) / rate_hz) / h for h in (1, 2, 3))
    mixture = np.stack([chord + voice] * 2).astype(np.float32)
    vocals, accompaniment = _separate(create("default", {}), mixture, rate_hz)
    for estimate, truth in ((vocals, voice), (accompaniment, chord)):
        sdr_db = 10 * np.log10((truth**2).mean() / ((estimate - truth) ** 2).mean())
        assert sdr_db > 3


def test_silence_stays_silent() -> None:
    assert not _separate(create("default", {}), np.zeros((2, 9000), np.float32), 8000).any()


def test_a_constant_goes_to_the_accompaniment() -> None:
    vocals, _ = _separate(create("default", {}), np.full((1, 60_000), 0.5, np.float32), 8000)
    assert np.abs(vocals[:, 4000:-4000]).max() < 1e-3


def test_antiphase_channels_do_not_cancel_out() -> None:
    y = _song(60_000, channels=1)
    stems = _separate(create("default", {}), np.concatenate([y, -y]), SLOW_RATE_HZ)
    np.testing.assert_allclose(stems[:, 0], -stems[:, 1], atol=1e-6)
    # Not to the bit: the strength of both channels is the root of two of one, whose codes round in another way.
    np.testing.assert_allclose(stems[:, :1], _separate(create("default", {}), y, SLOW_RATE_HZ), atol=4e-3)


def test_progress_never_falls_and_ends_at_one() -> None:
    seen: list[float] = []
    source = ArraySource(_song(100_000), SLOW_RATE_HZ)
    for _ in create("default", {}).separate(source, start=20_000, progress=seen.append):
        pass
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] == 1


@pytest.mark.parametrize("preset", ["", "Default", "loud"])
def test_an_unknown_preset_is_refused(preset: str) -> None:
    with pytest.raises(InvalidParameterError, match="unknown"):
        create(preset or "none", {})


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="'colour' is unknown"):
        create("default", {"colour": 1})


def test_the_memory_does_not_grow_with_the_track() -> None:
    engine = create("default", {})
    five_minutes, three_hours = (
        engine.peak_bytes(sample_rate_hz=44_100, channels=2, n_samples=44_100 * seconds) for seconds in (300, 3 * 3600)
    )
    assert three_hours == five_minutes < 200e6
