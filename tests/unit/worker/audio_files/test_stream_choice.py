"""Which of a file's audio streams is separated, by what ffmpeg's log says of them."""

from __future__ import annotations

import pytest

from worker.audio_files.headers.probe_log import parse_log
from worker.audio_files.headers.stream_choice import StreamChoice, choose_stream


def choose(*streams: tuple[str, str, str]) -> StreamChoice:
    """Choose among streams of these layouts, marks and titles."""
    described = "".join(
        f"  Stream #0:{n}: Audio: pcm_s16le, 48000 Hz, {layout}, s16, 768 kb/s{marks}\n"
        f"    Metadata:\n      title           : {title}\n"
        for n, (layout, marks, title) in enumerate(streams)
    )
    logged = parse_log(f"Input #0, matroska,webm, from 'fd:':\n  Duration: 00:00:01.00, start: 0.000000\n{described}")
    assert logged is not None
    return choose_stream(logged.audio, None)


@pytest.mark.parametrize(
    "mark", ["comment", "hearing impaired", "visual impaired", "descriptions", "karaoke", "lyrics"]
)
def test_special_streams_come_last(mark: str) -> None:
    special, plain = ("stereo", f" ({mark})", ""), ("stereo", "", "")
    assert choose(special, plain, plain).number == 2
    assert choose(special, special).number == 1
    assert choose(plain, ("stereo", f" (default) ({mark})", "")).number == 2
    # A mono stream with a comment on it is not its right channel.
    assert choose(("mono", f" ({mark})", ""), ("mono", "", "")).right_number is None


@pytest.mark.parametrize(
    ("titles", "pair"),
    [
        (("Left", "Right", "Talkback"), (1, 2)),
        (("R", "L", "Talkback"), (2, 1)),
        (("Singer", "Guitar", "Talkback"), (1, None)),
        (("", "", ""), (1, None)),
        (("", ""), (1, 2)),
    ],
)
def test_titles_that_name_left_and_right_decide(titles: tuple[str, ...], pair: tuple[int, int | None]) -> None:
    choice = choose(*(("mono", "", title) for title in titles))
    assert (choice.number, choice.right_number) == pair
