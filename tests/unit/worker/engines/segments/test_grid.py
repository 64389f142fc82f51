"""The grid of segments and the sum of what overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from worker.engines.segments.grid import SegmentGrid, hann_weights, triangle_weights
from worker.engines.segments.overlap import OverlapSum


def test_segments_begin_at_the_start_of_the_song_and_cover_it():
    grid = SegmentGrid(100, 60, hann_weights(80), margin=10)
    assert grid.touching(range(1000), 1000) == range(17)
    first, last = grid.segment(0, 1000), grid.segment(16, 1000)
    assert (first.first, first.start, first.stop) == (-10, 0, 80)
    assert (last.start, last.stop) == (960, 1000)
    assert grid.touching(range(139, 140), 1000) == range(1, 3)
    assert grid.touching(range(140, 141), 1000) == range(2, 3)


@pytest.mark.parametrize("length", [7, 30, 99, 100, 101, 250, 1000])
def test_the_last_segments_lie_in_the_middle_of_what_is_read_as_those_of_demucs(length):
    """`TensorChunk.padded` of `demucs.apply` reads `delta // 2` samples before a chunk that lacks `delta` samples."""
    grid = SegmentGrid(100, 75, triangle_weights(100), centre_last=True)
    for number, offset in enumerate(range(0, length, 75)):
        chunk_length = min(length - offset, 100)
        segment = grid.segment(number, length)
        assert segment.first == offset - (100 - chunk_length) // 2
        assert (segment.start, segment.stop) == (offset, offset + chunk_length)
    assert grid.touching(range(length), length) == range(len(range(0, length, 75)))


def test_the_triangle_is_that_of_demucs():
    for n in (10, 11):
        weight = np.concatenate([np.arange(1, n // 2 + 1), np.arange(n - n // 2, 0, -1)])
        assert np.allclose(triangle_weights(n), weight / weight.max())


@pytest.mark.parametrize("hop", [30, 50, 75, 80])
def test_segments_that_all_agree_give_back_what_they_agree_on(hop):
    grid = SegmentGrid(100, hop, hann_weights(80), margin=10)
    y = np.random.default_rng(0).standard_normal((1, 2, 1000)).astype(np.float32)
    padded = np.pad(y, ((0, 0), (0, 0), (10, 200)))
    overlap, taken = OverlapSum(grid, (1, 2), 0), []
    numbers = grid.touching(range(1000), 1000)
    for number in numbers:
        segment = grid.segment(number, 1000)
        overlap.add(segment, padded[..., segment.first + 10 : segment.first + 110])
        taken.append(overlap.take(1000 if number == numbers[-1] else (number + 1) * hop))
    assert np.allclose(np.concatenate(taken, axis=2), y, atol=1e-6)


@pytest.mark.parametrize("change", [{"margin": 5}, {"hop": 0}, {"hop": 81}, {"window": np.zeros(80, np.float32)}])
def test_a_grid_that_cannot_cover_a_song_is_refused(change):
    with pytest.raises(ValueError, match="window"):
        SegmentGrid(**{"segment_samples": 100, "hop": 60, "window": hann_weights(80), "margin": 10, **change})
