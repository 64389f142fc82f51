"""Files with several audio streams: which one is separated, and which are joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.errors import RequestInvalidError
from tests.fixtures.sounds.audio import make_song, write_wav
from tests.integration.worker.pipeline.test_field_files import ffmpeg, picture
from tests.integration.worker.pipeline.test_run import heard, run


def two_streams(folder: Path, name: str, *options: str, channels: int = 2) -> Path:
    """Return a file with a quiet stream and a loud one."""
    quiet = write_wav(folder / "quiet.wav", make_song(2, channels=channels, peak=0.1))
    loud = write_wav(folder / "loud.wav", make_song(2, channels=channels, peak=0.8))
    ffmpeg("-i", quiet, "-i", loud, "-map", "0", "-map", "1", "-c:a", "flac", *options, folder / name)
    return folder / name


def peak_of(folder: Path, path: Path, **options: int) -> float:
    return 10 ** (run(folder, path, **options).report["mixture"]["peak_db"] / 20)


def test_the_default_stream_is_separated_and_the_report_says_so(tmp_path: Path) -> None:
    names = ("-metadata:s:a:0", "title=Commentary", "-metadata:s:a:1", "title=Stereo")
    path = two_streams(tmp_path, "film.mkv", "-disposition:a:0", "0", "-disposition:a:1", "default", *names)
    report = run(tmp_path, path).report
    assert report["mixture"]["peak_db"] == pytest.approx(20 * np.log10(0.8), abs=0.1)
    assert report["source"]["audio_stream"] == 2
    assert [stream["title"] for stream in report["source"]["streams"]] == ["Commentary", "Stereo"]
    assert "The file has 2 audio streams; stream 2 was used (flac, Stereo)." in report["notes"]


@pytest.mark.parametrize(("number", "peak"), [(1, 0.1), (2, 0.8)])
def test_a_stream_can_be_chosen(tmp_path: Path, number: int, peak: float) -> None:
    path = two_streams(tmp_path, "film.mkv")
    assert peak_of(tmp_path, path, audio_stream=number) == pytest.approx(peak, abs=0.01)


@pytest.mark.parametrize("number", [0, 3])
def test_a_stream_that_does_not_exist_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(RequestInvalidError, match="2 audio streams, counted from 1"):
        run(tmp_path, two_streams(tmp_path, "film.mkv"), audio_stream=number)


def test_a_stream_of_an_unknown_codec_is_passed_over(tmp_path: Path) -> None:
    path = two_streams(tmp_path, "film.mov", "-c:a:0", "pcm_s16le", "-c:a:1", "alac")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    report = run(tmp_path, path).report
    assert report["source"]["codec"] == "alac"
    assert report["source"]["audio_stream"] == 2


@pytest.mark.parametrize(
    ("name", "codec"), [("song.mov", "pcm_s16le"), ("song.mka", "flac"), ("song.mxf", "pcm_s16le")]
)
def test_two_mono_streams_become_stereo(tmp_path: Path, name: str, codec: str) -> None:
    film = picture(2) if name.endswith("mxf") else ()
    rate = ("-ar", "48000") if film else ()
    left, right = tmp_path / "left.wav", tmp_path / "right.wav"
    write_wav(left, make_song(2, channels=1, peak=0.1))
    write_wav(right, make_song(2, channels=1, peak=0.8))
    video = ("-f", "lavfi", "-i", "color=s=720x576:r=25:d=2") if film else ()
    maps = ("-map", "2:v") if film else ()
    ffmpeg("-i", left, "-i", right, *video, *maps, "-map", "0", "-map", "1", "-c:a", codec, *rate, tmp_path / name)
    outcome = run(tmp_path, tmp_path / name)
    levels = np.abs(heard(tmp_path, outcome, "accompaniment")).max(axis=1)
    np.testing.assert_allclose(levels, [0.075, 0.6], rtol=0.05)
    assert (
        "The file has 2 audio streams; the mono streams 1 and 2 were joined as left and right."
        in (outcome.report["notes"])
    )


def test_two_mono_streams_of_two_languages_are_not_joined(tmp_path: Path) -> None:
    spoken = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu")
    report = run(tmp_path, two_streams(tmp_path, "film.mkv", *spoken, channels=1)).report
    assert report["source"]["channels"] == 1
    assert report["source"]["joined_stream"] is None
