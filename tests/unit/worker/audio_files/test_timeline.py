"""Gaps and jumps in the times of decoded frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from worker.audio_files.timeline import MAX_GAPS, Gap, Timeline, read_timeline

RATE_HZ = 1000


def timeline(folder: Path, frames: Sequence[tuple[int, int]], *, begin: int = 0, limit: int = 10**9) -> Timeline:
    path = folder / "times"
    path.write_text("".join(f"{at} {n}\n" for at, n in frames))
    n_decoded = sum(n for _, n in frames)
    return read_timeline(path, n_decoded=n_decoded, sample_rate_hz=RATE_HZ, begin=begin, max_samples=limit)


@pytest.mark.parametrize(
    ("frames", "gaps"),
    [
        ([(0, 100), (100, 100)], []),
        # Late from the start on, also by little.
        ([(15, 100), (115, 100)], [Gap(0, 15)]),
        ([(5, 100), (105, 100)], []),
        ([(0, 100), (2100, 100), (2200, 100)], [Gap(100, 2000)]),
        # Jitter that comes back, and a clock that runs a little fast.
        ([(0, 100), (130, 100), (200, 100), (300, 100)], []),
        ([(n * 101, 100) for n in range(200)], []),
        # Vorbis, where it changes its block size at a low sample rate.
        ([(0, 100), (156, 72), (172, 16), (188, 100), (288, 100)], []),
        # Many small gaps are filled as soon as they amount to something.
        ([(0, 100), (120, 100), (240, 100), (360, 100), (460, 100)], [Gap(300, 60)]),
        # Times begin again: two recordings in one file. A gap in the second is still found.
        ([(0, 5000), (0, 100), (2100, 100)], [Gap(5100, 2000)]),
        # A time that is far off for one frame only.
        ([(0, 100), (10**8, 100), (200, 100), (300, 100)], []),
    ],
)
def test_gaps_are_found(tmp_path: Path, frames: list[tuple[int, int]], gaps: list[Gap]) -> None:
    assert list(timeline(tmp_path, frames, limit=10**7).gaps) == gaps


def test_a_part_begins_where_it_should(tmp_path: Path) -> None:
    assert timeline(tmp_path, [(5000, 100), (5100, 100)], begin=5000).gaps == ()
    assert list(timeline(tmp_path, [(5600, 100)], begin=5000).gaps) == [Gap(0, 600)]


def test_pauses_that_make_the_song_too_long_are_left_out(tmp_path: Path) -> None:
    found = timeline(tmp_path, [(0, 100), (1100, 100), (9_001_200, 100)], limit=5000)
    assert list(found.gaps) == [Gap(100, 1000)]
    assert list(found.left_out) == [Gap(200, 9_000_000)]
    many = timeline(tmp_path, [(n * 3000, 100) for n in range(4)], limit=5000)
    assert many.gaps == ()
    assert many.n_samples == 400


def test_a_list_that_was_cut_off_or_lacks_times_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "times"
    path.write_text("0 100\nN/A 100\n2100 100\n2200 10")
    found = read_timeline(path, n_decoded=310, sample_rate_hz=RATE_HZ, begin=0, max_samples=10**6)
    assert found.n_samples >= 310


@pytest.mark.parametrize("seed", range(5))
def test_pieces_put_samples_where_they_belong(seed: int) -> None:
    random = np.random.default_rng(seed)
    places = sorted(random.choice(1000, 5, replace=False))
    found = Timeline(1000, tuple(Gap(int(p), int(random.integers(1, 300))) for p in places))
    whole = np.zeros(found.n_samples)
    position = 0
    for n in range(1000):
        position += sum(gap.n_samples for gap in found.gaps if gap.after_samples == n)
        whole[position] = n + 1
        position += 1
    for _ in range(50):
        start, stop = sorted(int(n) for n in random.integers(0, found.n_samples + 1, 2))
        part = np.zeros(stop - start)
        for place, first, n in found.pieces(start, stop):
            part[place : place + n] = np.arange(first, first + n) + 1
        np.testing.assert_array_equal(part, whole[start:stop])


def test_more_gaps_than_a_recording_has_are_left_out(tmp_path: Path) -> None:
    frames = [(n * 160, 100) for n in range(MAX_GAPS + 2)]
    found = timeline(tmp_path, frames)
    assert found.gaps == ()
    assert len(found.left_out) == MAX_GAPS + 1
    assert len(timeline(tmp_path, frames[:-1]).gaps) == MAX_GAPS


class CountedGap(Gap):
    """A gap that counts how often its place is asked for, or gaps are compared."""

    asked = 0

    def __getattribute__(self, name: str) -> object:
        if name in {"after_samples", "n_samples"}:
            CountedGap.asked += 1
        return super().__getattribute__(name)


def test_reading_a_part_does_not_visit_every_gap() -> None:
    found = Timeline(1_000_000, tuple(CountedGap(n * 100, 60) for n in range(1, 5000)))
    found.pieces(0, 10)
    CountedGap.asked = 0
    for start in range(1000):
        assert sum(n for _, _, n in found.pieces(start * 160, start * 160 + 160)) == 100
    assert [found.position(gap) for gap in found.gaps[:3]] == [100, 260, 420]
    assert CountedGap.asked < 100


def test_many_gaps_are_sorted_without_comparing_each_with_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def count(_: Gap, __: object) -> bool:
        nonlocal compared
        compared += 1
        return False

    monkeypatch.setattr(Gap, "__eq__", count)
    found = timeline(tmp_path, [(n * 1000, 100) for n in range(100)] + [(10**9, 100), (10**9 + 100, 100)], limit=10**6)
    assert (len(found.gaps), len(found.left_out)) == (99, 1)
    assert compared == 0
