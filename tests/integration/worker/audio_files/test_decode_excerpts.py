"""Excerpts have the samples of the whole song, and no more of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.errors import (
    AudioTooShortError,
)
from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.fixtures.sounds.audio import decode as play
from tests.integration.worker.audio_files.test_decode import take_in


@pytest.mark.parametrize("name", ["song.wav", "song.mp3", "song.ogg", "song.m4a"])
def test_an_excerpt_has_the_samples_of_the_whole(tmp_path: Path, name: str) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(4))
    path = wav if name.endswith("wav") else convert(wav, tmp_path / name)
    _, whole = take_in(path, tmp_path / "a")
    _, part = take_in(path, tmp_path / "b", span_seconds=(1.5, 2.25))
    assert (part.first_sample, part.n_samples) == (66_150, 33_075)
    np.testing.assert_array_equal(part.read_samples(0, part.n_samples), whole.read_samples(66_150, 99_225))


def cut_from_a_broadcast(path: Path) -> Path:
    """Leave the headers of an Ogg file, and its pages from the middle on."""
    pages = path.read_bytes().split(b"OggS")[1:]
    path.write_bytes(b"".join(b"OggS" + page for page in (*pages[:2], *pages[len(pages) // 2 :])))
    return path


@pytest.mark.parametrize(("codec", "name"), [("libvorbis", "radio.ogg"), ("libopus", "radio.opus")])
def test_audio_cut_from_an_ogg_broadcast_begins_with_sound(tmp_path: Path, codec: str, name: str) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(20, sample_rate_hz=48_000), 48_000)
    path = cut_from_a_broadcast(convert(wav, tmp_path / name, "-c:a", codec))
    _, whole = take_in(path, tmp_path / "a")
    samples = whole.read_samples(0, whole.n_samples)
    np.testing.assert_array_equal(samples, play(path, channels=2))
    assert np.abs(samples[:, 100:1000]).max() > 0.01
    _, part = take_in(path, tmp_path / "b", span_seconds=(1.0, 2.0))
    np.testing.assert_array_equal(part.read_samples(0, part.n_samples), samples[:, 48_000:96_000])


@pytest.mark.parametrize(
    ("start", "stop", "silent_from"), [(1.0, 3.0, 1.0), (2.5, 3.5, 0.0), (1.999, 3.0, 0.001), (3.0, 4.5, None)]
)
def test_an_excerpt_that_ends_in_a_gap_has_silence_there(
    tmp_path: Path, start: float, stop: float, silent_from: float | None
) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(4), 44_100)
    # Two seconds of sound, two of nothing, two of sound.
    film = convert(wav, tmp_path / "gap.mkv", "-af", "asetpts='PTS+gte(T,2)*2/TB'", "-c:a", "pcm_s16le")
    _, part = take_in(film, tmp_path / "s", span_seconds=(start, stop))
    assert part.n_samples == round((stop - start) * 44_100)
    samples = part.read_samples(0, part.n_samples)
    if silent_from is None:
        assert samples[:, -4410:].any()
    else:
        # Packets are 23 ms long.
        assert not samples[:, round((silent_from + 0.05) * 44_100) :].any()
        assert samples[:, : round(silent_from * 44_100)].any() == (silent_from > 0)


def test_an_excerpt_is_not_lengthened_beyond_the_end(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(2), 44_100)
    film = convert(wav, tmp_path / "song.mkv", "-c:a", "pcm_s16le")
    _, part = take_in(film, tmp_path / "s", span_seconds=(1.0, 5.0))
    assert part.n_samples == pytest.approx(44_100, abs=100)
    with pytest.raises(AudioTooShortError, match="before the excerpt begins"):
        take_in(film, tmp_path / "t", span_seconds=(3.0, 5.0))


@pytest.mark.parametrize("name", ["late.mkv", "late.mov", "late.ts"])
def test_an_excerpt_of_late_audio_is_not_lengthened_either(tmp_path: Path, name: str) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(2), 44_100)
    picture = ("-f", "lavfi", "-i", "color=s=64x64:d=4", "-map", "1", "-map", "0", "-c:v", "mpeg2video")
    late = ("-af", "asetpts=PTS+1/TB", "-c:a", "aac" if name.endswith("ts") else "pcm_s16le")
    film = convert(wav, tmp_path / name, *picture, *late)
    _, part = take_in(film, tmp_path / "s", span_seconds=(2.0, 3.5))
    assert part.duration_seconds == pytest.approx(1.0, abs=0.1)
