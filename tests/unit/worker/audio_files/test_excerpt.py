from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import AudioTooShortError, RequestInvalidError
from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.excerpt import TrackExcerpt, cut_excerpt


def audio(seconds: float, *, first_second: float = 0.0) -> DecodedAudio:
    return DecodedAudio(Path("none"), 1000, 2, round(seconds * 1000), 46, first_sample=round(first_second * 1000))


def test_the_whole_is_everything() -> None:
    track = cut_excerpt(audio(5), TrackExcerpt())
    assert (track.start, track.stop, track.duration_seconds) == (0, 5000, 5.0)


def test_an_excerpt_is_found_in_audio_that_begins_later_in_the_song() -> None:
    track = cut_excerpt(audio(30, first_second=80), TrackExcerpt(90, 10))
    assert (track.start, track.stop) == (10_000, 20_000)


def test_an_excerpt_that_reaches_beyond_the_end_is_shortened() -> None:
    assert cut_excerpt(audio(5), TrackExcerpt(4, 10)).stop == 5000


def test_an_excerpt_after_the_end_is_refused_with_both_times() -> None:
    with pytest.raises(AudioTooShortError, match=r"begins at 90 s, but the audio ends at 5.00 s"):
        cut_excerpt(audio(5), TrackExcerpt(90, 20))


@pytest.mark.parametrize(("start", "duration"), [(-1, 5), (float("nan"), 5), (0, 0), (0, -3), (0, float("nan"))])
def test_an_impossible_excerpt_is_refused(start: float, duration: float) -> None:
    with pytest.raises(RequestInvalidError):
        TrackExcerpt(start, duration)


def test_the_context_stops_at_the_beginning_of_the_song() -> None:
    assert TrackExcerpt(5, 10).span_seconds(context_seconds=20) == (0, 35)
    assert TrackExcerpt(50, None).span_seconds(context_seconds=20) == (30, None)
