"""Timestamps, gaps and late audio: what a file claims, and what stays in step with the film."""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from shared.errors import AudioTooLongError
from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.integration.worker.pipeline.test_field_files import DAMAGE, RATE_HZ, ffmpeg, picture
from tests.integration.worker.pipeline.test_run import heard, run
from worker.run_messages import Limits


def begins_at(samples: np.ndarray) -> float:
    """Return the second at which a signal is first loud."""
    return float(np.flatnonzero(np.abs(samples).max(axis=0) > 0.02)[0]) / RATE_HZ


# Timestamps are claims.


def ogg_with_last_time(path: Path, seconds: float) -> Path:
    """Return an Ogg file whose last page claims to end at another time, with a right checksum."""
    ogg = convert(write_wav(path.with_suffix(".wav"), make_song(3)), path, "-c:a", "libvorbis")
    content = bytearray(ogg.read_bytes())
    place = content.rindex(b"OggS")
    struct.pack_into("<q", content, place + 6, round(seconds * RATE_HZ))
    content[place + 22 : place + 26] = bytes(4)
    struct.pack_into("<I", content, place + 22, ogg_checksum(bytes(content[place:])))
    ogg.write_bytes(content)
    return ogg


def ogg_checksum(page: bytes) -> int:
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    return checksum


@pytest.mark.parametrize("seconds", [2.9, 2.5, 97_394.0])
def test_an_ogg_file_is_separated_whatever_its_last_page_claims(tmp_path: Path, seconds: float) -> None:
    outcome = run(tmp_path, ogg_with_last_time(tmp_path / "song.ogg", seconds))
    assert outcome.report["stems"]["vocals"]["duration_seconds"] == pytest.approx(3.0, abs=0.6)


@pytest.mark.parametrize("name", ["song.opus", "song.oga"])
def test_a_recording_of_a_stream_that_began_hours_before_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    ogg = convert(write_wav(tmp_path / "in.wav", make_song(3)), tmp_path / name)
    content = bytearray(ogg.read_bytes())
    places = [place.start() for place in re.finditer(b"OggS", content)]
    for place, end in pairwise([*places, len(content)]):
        (time,) = struct.unpack_from("<q", content, place + 6)
        struct.pack_into("<q", content, place + 6, time + 36_000 * 48_000 if time > 0 else time)
        content[place + 22 : place + 26] = bytes(4)
        struct.pack_into("<I", content, place + 22, ogg_checksum(bytes(content[place:end])))
    ogg.write_bytes(content)
    report = run(tmp_path, ogg).report
    assert report["stems"]["vocals"]["duration_seconds"] == pytest.approx(3.0, abs=0.02)
    assert report["notes"] == []


def with_pause(folder: Path, name: str, pause: float, *options: str) -> Path:
    """Return a file with two seconds of sound, a pause in its timestamps, and two seconds more."""
    song = write_wav(folder / "in.wav", make_song(4))
    path = folder / name
    later = f"asetpts='if(lt(T,2),PTS,PTS+{pause}/TB)'"
    ffmpeg("-i", song, "-af", f"asetnsamples=1024,{later}", *options, path)
    return path


@pytest.mark.parametrize("name", ["song.mka", "song.mp4", "song.nut"])
def test_a_short_file_with_a_pause_of_five_hours_is_separated_without_it(tmp_path: Path, name: str) -> None:
    codec = "aac" if name.endswith("mp4") else "flac"
    outcome = run(tmp_path, with_pause(tmp_path, name, 18_000, "-c:a", codec))
    assert outcome.report["stems"]["vocals"]["duration_seconds"] == pytest.approx(4.0, abs=0.1)
    assert any("left out" in note for note in outcome.report["notes"])
    assert not any(DAMAGE.search(note) for note in outcome.report["notes"])


def test_a_file_that_is_too_long_by_its_header_and_its_packets_is_refused_before_decoding(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(20)), tmp_path / "song.mp3")
    with pytest.raises(AudioTooLongError, match="20 s long; the limit is 10 s"):
        run(tmp_path, path, limits=Limits(max_audio_seconds=10))


# Gaps and late audio keep the timeline.


@pytest.mark.parametrize(
    ("name", "codec"), [("song.mka", "flac"), ("song.webm", "libopus"), ("song.mp4", "aac"), ("song.mkv", "mp3")]
)
def test_a_gap_is_filled_with_silence_and_told(tmp_path: Path, name: str, codec: str) -> None:
    rate = ("-ar", "48000") if codec == "libopus" else ()
    outcome = run(tmp_path, with_pause(tmp_path, name, 2.0, "-c:a", codec, *rate))
    report = outcome.report
    assert report["stems"]["vocals"]["duration_seconds"] == pytest.approx(6.0, abs=0.1)
    (gap,) = report["source"]["gaps"]
    assert gap["start_seconds"] == pytest.approx(2.0, abs=0.1)
    assert gap["duration_seconds"] == report["source"]["gap_seconds"] == pytest.approx(2.0, abs=0.1)
    samples = heard(tmp_path, outcome, "vocals")
    rate_hz = report["stems"]["vocals"]["sample_rate_hz"]
    assert np.abs(samples[:, int(2.2 * rate_hz) : int(3.8 * rate_hz)]).max() < 1e-4
    assert np.abs(samples[:, int(4.2 * rate_hz) :]).max() > 0.02
    assert [note for note in report["notes"] if "gap" in note]
    assert not any(DAMAGE.search(note) for note in report["notes"])


@pytest.mark.parametrize(
    ("name", "codec"), [("film.mp4", "aac"), ("film.mkv", "flac"), ("film.mov", "pcm_s16le"), ("film.ts", "mp2")]
)
@pytest.mark.parametrize("late", [0.25, 0.75, 3.0])
def test_stems_of_audio_that_begins_late_are_in_step_with_the_film(
    tmp_path: Path, name: str, codec: str, late: float
) -> None:
    song = write_wav(tmp_path / "in.wav", make_song(2))
    film = tmp_path / name
    color = f"color=s=32x32:r=10:d={2 + late}"
    ffmpeg(
        "-f", "lavfi", "-i", color, "-itsoffset", late, "-i", song, "-map", "0:v", "-map", "1:a", "-c:a", codec, film
    )
    outcome = run(tmp_path, film)
    assert begins_at(heard(tmp_path, outcome, "accompaniment")) == pytest.approx(late, abs=0.05)
    assert outcome.report["source"]["start_seconds"] == pytest.approx(late, abs=0.05)
    assert [note for note in outcome.report["notes"] if "after the file does" in note]
    assert not any(DAMAGE.search(note) for note in outcome.report["notes"])


def test_an_excerpt_is_cut_on_the_timeline(tmp_path: Path) -> None:
    path = with_pause(tmp_path, "song.mka", 2.0, "-c:a", "flac")
    outcome = run(tmp_path, path, excerpt_start_seconds=3.5, excerpt_duration_seconds=1.0)
    samples = heard(tmp_path, outcome, "accompaniment")
    assert samples.shape[1] == RATE_HZ
    assert begins_at(samples) == pytest.approx(0.5, abs=0.05)


def test_a_film_that_goes_on_after_its_sound_is_not_called_damaged(tmp_path: Path) -> None:
    film = convert(write_wav(tmp_path / "in.wav", make_song(2)), tmp_path / "film.mp4", *picture(4), "-c:a", "aac")
    notes = run(tmp_path, film).report["notes"]
    assert not any(DAMAGE.search(note) for note in notes)
    assert [note for note in notes if "The audio ends at 2.0" in note]
