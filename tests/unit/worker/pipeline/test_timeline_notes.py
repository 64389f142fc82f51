"""What the report says of late audio and gaps: only what is in the stems, also if more of the song was decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.excerpt import Track
from worker.audio_files.timeline import Gap, Timeline
from worker.pipeline.report import _notes_on_timeline

RATE_HZ = 1000
TIMELINE = Timeline(10_000, gaps=(Gap(0, 2000), Gap(5000, 1000)))
"""Late by 2 s; a gap from 7 s to 8 s; 13 s in all."""


def notes(start: int, stop: int, *, first_sample: int = 0) -> str:
    audio = DecodedAudio(Path("song"), RATE_HZ, 2, TIMELINE.n_samples, 44, first_sample, timeline=TIMELINE)
    return " ".join(_notes_on_timeline(Track(audio, start, stop)))


def test_the_whole_song_tells_both() -> None:
    told = notes(0, 13_000)
    assert "begins 2.00 s after the file does; the stems begin with that much silence" in told
    assert "a gap at 7.00 s; 1.00 s of silence" in told


@pytest.mark.parametrize(("start", "stop"), [(2000, 7000), (8000, 13_000), (3000, 4000)])
def test_an_excerpt_without_silence_tells_of_none(start: int, stop: int) -> None:
    assert notes(start, stop) == ""


def test_an_excerpt_tells_how_much_of_the_silence_it_has() -> None:
    assert "the stems begin with 0.50 s of silence" in notes(1500, 4000)
    assert "a gap at 7.00 s; 0.25 s of silence" in notes(7750, 9000)


def test_the_place_of_a_gap_is_that_in_the_song() -> None:
    assert "a gap at 97.00 s" in notes(6000, 9000, first_sample=90_000)
