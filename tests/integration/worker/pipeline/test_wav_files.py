"""WAV files of recorders and studios: headers that say too little, and what else the files carry."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import soundfile

from shared.errors import AudioUnreadableError
from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.integration.worker.pipeline.test_field_files import RATE_HZ, id3v2
from tests.integration.worker.pipeline.test_run import run
from worker.audio_files.headers.riff_chunks import read_riff_chunks


def header_says(path: Path, seconds: float, channels: int = 2) -> None:
    """Make a WAV file of 16 bits claim to be shorter than it is."""
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    n_bytes = int(seconds * RATE_HZ) * 2 * channels
    struct.pack_into("<I", content, place, n_bytes)
    struct.pack_into("<I", content, 4, place + n_bytes - 4)
    path.write_bytes(content)


@pytest.mark.parametrize("claimed", [0.2, 1.0, 2.9])
def test_a_wav_file_is_whole_though_its_header_says_too_little(tmp_path: Path, claimed: float) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(3), subtype="PCM_16")
    header_says(path, claimed)
    report = run(tmp_path, path).report
    assert report["stems"]["vocals"]["duration_seconds"] == 3.0
    assert report["notes"] == ["The file is longer than its header says; all of its sound was used."]


def test_a_second_wav_file_behind_the_first_is_told(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(1), subtype="PCM_16")
    path.write_bytes(path.read_bytes() * 2)
    report = run(tmp_path, path).report
    assert report["stems"]["vocals"]["duration_seconds"] == 1.0
    assert report["notes"] == [
        "Another recording follows in the file, behind the end of the first one; it was left out."
    ]


def test_a_wav_file_that_was_cut_off_is_told(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(3), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: -2 * 2 * RATE_HZ])
    assert run(tmp_path, path).report["notes"] == [
        "The file declares 3.00 s but contains 2.00 s: it may be truncated or damaged."
    ]


@pytest.mark.parametrize("claimed", [0, 1 << 30, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_wav_file_from_a_pipe_is_not_called_cut_off(tmp_path: Path, claimed: int) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(1), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, claimed)
    path.write_bytes(content)
    report = run(tmp_path, path).report
    assert (report["notes"], report["stems"]["vocals"]["duration_seconds"]) == ([], 1.0)


@pytest.mark.parametrize("claimed", [0, 1 << 62])
def test_an_rf64_recording_that_was_never_finished_is_whole(tmp_path: Path, claimed: int) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(1)), tmp_path / "song.wav", "-rf64", "always")
    content = bytearray(path.read_bytes())
    place = content.index(b"ds64")
    content[place + 8 : place + 24] = struct.pack("<QQ", 0, claimed)
    # A program that did not mind the header has written a tag behind the samples.
    path.write_bytes(content + chunk(b"id3 ", bytes(range(256)) * 256))
    report = run(tmp_path, path).report
    assert (report["notes"], report["stems"]["vocals"]["duration_seconds"]) == ([], 1.0)


def test_an_rf64_size_that_ffmpeg_refuses_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(1)), tmp_path / "song.wav", "-rf64", "always")
    content = bytearray(path.read_bytes())
    place = content.index(b"ds64")
    content[place + 8 : place + 24] = b"\xff" * 16
    path.write_bytes(content)
    with pytest.raises(AudioUnreadableError):
        run(tmp_path, path)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


@pytest.mark.parametrize(
    "tail",
    [
        chunk(b"LIST", b"INFOINAM" + struct.pack("<I", 20_000) + b"x" * 20_000),
        chunk(b"id3 ", bytes(9_001)) + chunk(b"LGWV", bytes(30_000)),
        b"TAG" + bytes(125),
        bytes(60_000),
        id3v2(60_000),
    ],
)
def test_what_follows_the_samples_and_is_no_sound_is_not_taken_for_sound(tmp_path: Path, tail: bytes) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(1), subtype="PCM_16")
    path.write_bytes(path.read_bytes() + tail)
    assert run(tmp_path, path).report["stems"]["vocals"]["duration_seconds"] == 1.0


def broadcast_wav(path: Path, *, reference: int, xml: bytes) -> bytes:
    """Write a WAV file with bext (version 2) before and iXML after the samples; return the content of bext."""
    wav = write_wav(path, make_song(2), subtype="PCM_16").read_bytes()
    bext = b"Take 7".ljust(256, b"\0") + b"Recorder".ljust(32, b"\0") + bytes(32) + b"2024-05-0612:34:56"
    bext += struct.pack("<QH", reference, 2) + bytes(64) + struct.pack("<5h", -2300, 500, -100, -1800, -2000)
    bext += bytes(180) + b"A=PCM,F=44100\r\n"
    body = wav[12:36] + chunk(b"bext", bext) + wav[36:] + chunk(b"iXML", xml)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    return bext


@pytest.mark.parametrize("start", [None, 0.5])
def test_wav_stems_keep_time_code_and_ixml(tmp_path: Path, start: float | None) -> None:
    xml = (
        b"<BWFXML><SPEED><TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>0</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>"
        b"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>123456789</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO></SPEED></BWFXML>"
    )
    bext = broadcast_wav(tmp_path / "take.wav", reference=123_456_789, xml=xml)
    outcome = run(tmp_path, tmp_path / "take.wav", format="wav", excerpt_start_seconds=start)
    moved = 0 if start is None else 22_050
    for name in ("vocals", "accompaniment"):
        stem = tmp_path / "out" / f"{name}.wav"
        chunks = read_riff_chunks(stem)
        assert chunks is not None
        kept = chunks.contents["bext"]
        assert struct.unpack_from("<Q", kept, 338)[0] == 123_456_789 + moved
        assert (kept[:338], kept[348:412], kept[422:]) == (bext[:338], bext[348:412], bext[422:])
        # The measures of loudness were those of the mixture.
        assert kept[412:422] == struct.pack("<h", 0x7FFF) * 5
        assert chunks.contents["iXML"] == xml.replace(b"123456789", str(123_456_789 + moved).encode())
        assert chunks.end_of_chunks == stem.stat().st_size
        assert soundfile.info(stem).frames == outcome.report["stems"][name]["n_samples"]
