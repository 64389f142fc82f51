from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.sounds.audio import make_song
from worker.measurements.waveform import FULL_SCALE, MAX_SPANS, WaveformOutline


@given(st.lists(st.integers(0, 700), min_size=1, max_size=12), st.integers(1, 2))
def test_blocks_of_any_size_give_the_waveform_of_the_whole(sizes: list[int], channels: int) -> None:
    n = sum(sizes)
    samples = np.random.default_rng(n).normal(0, 0.3, (channels, n)).astype(np.float32)
    outline = WaveformOutline(n_samples=n)
    for block in np.split(samples, np.cumsum(sizes)[:-1], axis=1):
        outline.add_block(block)
    document = json.loads(outline.to_json(sample_rate_hz=8_000))
    step = document["samples_per_peak"]
    spans = [samples[:, start : start + step] for start in range(0, n, step)]
    expected = [round(float(v) * FULL_SCALE) for s in spans for v in (min(0, s.min()), max(0, s.max()))]
    assert document["peaks"] == pytest.approx(expected, abs=1)


def test_an_hour_has_no_more_points_than_a_minute() -> None:
    outline = WaveformOutline(n_samples=44_100 * 3600)
    outline.add_block(make_song(1))
    document = json.loads(outline.to_json(sample_rate_hz=44_100))
    assert len(document["peaks"]) <= 2 * MAX_SPANS
    assert all(isinstance(value, int) for value in document["peaks"])


def test_the_document_has_rate_and_duration() -> None:
    outline = WaveformOutline(n_samples=44_100)
    outline.add_block(make_song(1))
    document = json.loads(outline.to_json(sample_rate_hz=44_100))
    assert (document["sample_rate_hz"], document["duration_seconds"]) == (44_100, 1.0)
