"""What surely is no audio is refused by its first bytes, and nothing else is."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.errors import NotAudioError
from api.request_bodies.content_check import HEAD_BYTES, AudioSink, check_is_audio
from shared.storage.upload_stream import Stored
from tests.fixtures.sounds.odd_audio import make_odd_files


def packed(kind: str) -> bytes:
    """An archive with a song in it."""
    written = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(written, "w") as archive:
            archive.writestr("song.mp3", bytes(2000))
    else:
        with tarfile.open(
            fileobj=written, mode="w", format=tarfile.GNU_FORMAT if kind == "gnu" else tarfile.PAX_FORMAT
        ) as tar:
            entry = tarfile.TarInfo("song.mp3")
            entry.size = 2000
            tar.addfile(entry, io.BytesIO(bytes(2000)))
    return written.getvalue()


OTHERS = {
    "a PDF document": [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"],
    "a ZIP archive or an Office document": [packed("zip")],
    "an Office document": [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)],
    "a compressed file": [gzip.compress(b"song"), b"BZh91AY&SYab", b"\xfd7zXZ\0\0", b"\x28\xb5\x2f\xfd\0"],
    "an archive": [packed("tar"), packed("gnu"), b"7z\xbc\xaf\x27\x1c\0", b"Rar!\x1a\x07\x01\0"],
    "a picture": [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"GIF89a\x01\0\x01\0",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"BM\x36\0\x03\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        b"II*\0\x08\0\0\0",
    ],
    "a program": [b"\x7fELF\x02\x01\x01\0", b"MZ" + bytes(126) + b"PE\0\0", b"\xcf\xfa\xed\xfe\x07\0\0\x01"],
    "a database": [b"SQLite format 3\0"],
    "a MIDI file, which holds notes and no sound": [b"MThd\0\0\0\x06\0\x01", b"RIFF\x24\0\0\0RMIDdata"],
    "a web page": [b"\n<!DOCTYPE html>\n<p>404</p>", b"\xef\xbb\xbf<html><body>Sign in</body></html>"],
    "a playlist": [b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n", b"[playlist]\nFile1=a.mp3\n"],
    "plain text": [
        "Für Élise, in Worten\n".encode(),
        "Für Élise, in Worten\n".encode("latin-1"),
        "Fuer Elise, in Worten\n".encode("utf-16"),
        json.dumps({"error": "gone"}, separators=(",", ":")).encode(),
        b"<?xml version='1.0'?><svg/>",
    ],
}


@pytest.mark.parametrize(
    ("kind", "head"),
    # By number: archives tell when they were made, and names of tests must not.
    [pytest.param(kind, head, id=f"{kind} {n}") for kind, heads in OTHERS.items() for n, head in enumerate(heads)],
)
def test_a_file_of_another_kind_is_called_by_its_name(kind: str, head: bytes) -> None:
    with pytest.raises(NotAudioError, match=f"^The file is {kind}; send the song itself, as MP3, "):
        check_is_audio(head)


def test_of_all_odd_files_only_such_are_refused_as_a_worker_refuses_too(shared_audio: Path, tmp_path: Path) -> None:
    hostile = shared_audio / "hostile"
    files = {hostile / e["file"]: e["expect"] for e in json.loads((hostile / "expectations.json").read_text())}
    files |= {odd.path: "REJECT" if odd.seconds is None else "DECODE" for odd in make_odd_files(tmp_path / "odd")}
    files |= dict.fromkeys(shared_audio.glob("songs/*/*.flac"), "DECODE")
    files |= dict.fromkeys(shared_audio.glob("unlabelled/*"), "DECODE")
    refused = {path.name for path in files if is_refused(path)}
    assert {path.name for path, expected in files.items() if not expected.startswith("REJECT")} & refused == set()
    assert {"gen_html.wav", "gen_zip.wav", "gen_png.mp3", "gen_hls_http.m4a", "mutagen_sample.mid"} <= refused


def is_refused(path: Path) -> bool:
    """Tell whether a file is refused by what is looked at of it."""
    with path.open("rb") as file:
        try:
            check_is_audio(file.read(HEAD_BYTES))
        except NotAudioError:
            return True
    return False


@pytest.mark.parametrize(
    "junk",
    [b"", bytes(5000), b"HTTP/1.1 200 OK\r\n\r\n", b"some words " * 10_000, b"ID3\x04\0\0\0\0\0\x7f"],
    ids=["none", "zeros", "an answer's head", "words", "a tag that promises more"],
)
def test_frames_behind_rubbish_pass(junk: bytes) -> None:
    check_is_audio(junk + b"\xff\xfb\x90\x64" + b"U" * 413)


@given(tail=st.binary(min_size=1, max_size=300))
def test_no_frame_passes_for_words(tail: bytes) -> None:
    for sync in (b"\xff\xfb", b"\xff\xf1", b"\x0b\x77", b"fLaC\0", b"OggS\0", b"RIFF\0\0\0\0WAVE"):
        check_is_audio(sync + tail + b"\0")
    # Of MPEG's Layer I, whose frames begin like words in UTF-16.
    check_is_audio(b"\xff\xfe\x18\0" + tail + bytes(100))


class InMemory:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.content = b""

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def __enter__(self) -> InMemory:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, block: bytes) -> int:
        self.content += block
        return len(block)

    def finish(self) -> Stored:
        return Stored("", len(self.content), "", "")


def test_it_is_looked_at_once_enough_has_come_in_whatever_pieces() -> None:
    sink = InMemory()
    with AudioSink(sink) as checked:
        while len(sink.content) < HEAD_BYTES - 6:
            checked.write(b"words ")
        with pytest.raises(NotAudioError):
            checked.write(b"words ")


def test_a_small_file_is_looked_at_at_its_end() -> None:
    sink = InMemory()
    with AudioSink(sink) as checked:
        checked.write(b"%PD")
        checked.write(b"F-1.7")
        with pytest.raises(NotAudioError):
            checked.finish()


def test_what_may_be_audio_arrives_whole() -> None:
    sink = InMemory()
    with AudioSink(sink) as checked:
        for _ in range(100):
            checked.write(b"\0" * 9_999)
        assert checked.finish().size_bytes == checked.size_bytes == 999_900
    assert sink.content == b"\0" * 999_900
