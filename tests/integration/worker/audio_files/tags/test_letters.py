"""Letters of tags that are not UTF-8, and values that are too long."""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from mutagen import id3
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC
from mutagen.mp3 import MP3

from tests.fixtures.sounds.tagged_files import id3v1, plain, read
from worker.run_support.workspace import Workspace


def riff_info(path: Path, *, code_page: int | None = None, **fields: bytes) -> None:
    """Append a LIST of INFO texts to a WAV file, and before it a CSET chunk."""
    texts = b"".join(k.encode() + struct.pack("<I", len(v)) + v + b"\0" * (len(v) % 2) for k, v in fields.items())
    chunk = b"LIST" + struct.pack("<I", len(texts) + 4) + b"INFO" + texts
    declared = b"CSET" + struct.pack("<IHHHH", 8, code_page, 0, 0, 0) if code_page is not None else b""
    content = path.read_bytes() + declared + chunk
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])


def latin_1_id3v2(path: Path) -> None:
    file = MP3(path)
    if file.tags is None:
        file.add_tags()
    file.tags.add(id3.TIT2(encoding=0, text="Don\x92t Größe"))
    file.save()


@pytest.mark.parametrize(
    ("name", "spoil", "title"),
    [
        ("song.mp3", lambda p: id3v1(p, title="Déjà Vu".encode("cp1252")), "Déjà Vu"),
        ("song.mp3", lambda p: id3v1(p, title="Déjà Vu".encode()), "Déjà Vu"),
        ("song.mp3", latin_1_id3v2, "Don\u2019t Größe"),
        ("song.wav", lambda p: riff_info(p, INAM="Déjà Vu \u2013 Köln".encode("cp1252")), "Déjà Vu \u2013 Köln"),
        ("song.wav", lambda p: riff_info(p, INAM="Кино".encode("cp1251"), code_page=1251), "Кино"),
        ("song.wav", lambda p: riff_info(p, INAM="宇多田".encode("cp932"), code_page=932), "宇多田"),
        ("song.wav", lambda p: riff_info(p, INAM="Кино".encode("koi8-r"), code_page=20866), "Кино"),
        ("song.wav", lambda p: riff_info(p, INAM="Größe".encode()), "Größe"),
    ],
)
def test_text_that_is_not_utf_8_is_read_as_what_it_is(
    tmp_path: Path, workspace: Workspace, name: str, spoil: Callable[[Path], None], title: str
) -> None:
    path = plain(tmp_path, name, "-map_metadata", "-1", "-bitexact")
    spoil(path)
    assert read(path, workspace).fields["title"] == (title,)


def vorbis_comments(path: Path) -> None:
    """Write comments into a FLAC file, some of them in Latin-1."""
    comments = [b"TITLE=D\xe9j\xe0 Vu", "ARTIST=Zoë".encode(), b"ARTIST=Bj\xf6rk", b"no comment", b"t\xeftle=no name"]
    block = struct.pack("<II", 0, len(comments)) + b"".join(struct.pack("<I", len(c)) + c for c in comments)
    content = path.read_bytes()
    head, stream_info, rest = content[:4], content[4:42], content[42:]
    while rest[0] < 0x80:
        rest = rest[4 + int.from_bytes(rest[1:4], "big") :]
    rest = rest[4 + int.from_bytes(rest[1:4], "big") :]
    path.write_bytes(head + b"\0" + stream_info[1:] + b"\x84" + len(block).to_bytes(3, "big") + block + rest)


def latin_1_apev2(path: Path) -> None:
    ape = APEv2()
    ape["Title"], ape["Artist"] = "D_j_ Vu", ["Zoë", "Bj_rk"]
    ape.save(path)
    spoilt = path.read_bytes().replace(b"D_j_", b"D\xe9j\xe0").replace("Zoë\0Bj_rk".encode(), b"Zo\xeb\0\0Bj\xf6rk")
    path.write_bytes(spoilt)


@pytest.mark.parametrize(
    ("name", "spoil", "artists"),
    [("song.flac", vorbis_comments, ("Zoë", "Björk")), ("song.wv", latin_1_apev2, ("Zoë", "Björk"))],
)
def test_letters_that_are_not_utf_8_are_kept_beside_others(
    tmp_path: Path, workspace: Workspace, name: str, spoil: Callable[[Path], None], artists: tuple[str, ...]
) -> None:
    path = plain(tmp_path, name, "-map_metadata", "-1", "-bitexact")
    spoil(path)
    fields = read(path, workspace).fields
    assert (fields["title"], fields["artist"]) == (("Déjà Vu",), artists)


LATIN, OTHER_LETTERS = ("Ärger \u2603", "Plain"), ("\u5b87\u591a\u7530 \u5149", "\u4e00\u4e8c")


# Nothing tells that other letters are in the order of big ends.
@pytest.mark.parametrize(
    ("title", "order"),
    [
        *((title, order) for title in (*LATIN, *OTHER_LETTERS) for order in ("utf-16", "utf-16-le")),
        *((title, "utf-16-be") for title in LATIN),
    ],
)
def test_utf_16_is_read_without_its_byte_order_mark(
    tmp_path: Path, workspace: Workspace, title: str, order: str
) -> None:
    path = id3v2_title(tmp_path, title.encode(order))
    assert read(path, workspace).fields["title"] == (title,)


def id3v2_title(folder: Path, content: bytes) -> Path:
    """Return a song with a title in UTF-16."""
    text = b"\1" + content
    frame = b"TIT2" + struct.pack(">I", len(text)) + bytes(2) + text
    path = plain(folder, "song.mp3", "-map_metadata", "-1", "-bitexact", "-id3v2_version", "0")
    path.write_bytes(b"ID3\x03\0\0\0\0\0" + bytes([len(frame)]) + frame + path.read_bytes())
    return path


# Letters whose low byte is empty look like Latin ones in the other order.
@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_the_byte_order_mark_of_a_frame_is_believed(tmp_path: Path, workspace: Workspace, mark: bytes) -> None:
    order = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    first, second = ("\u4e00" * 3).encode(order), ("\u5000" * 3).encode(order)
    # Some programs write the mark once for several values.
    path = id3v2_title(tmp_path, mark + first + bytes(2) + second)
    assert read(path, workspace).fields["title"] == ("\u4e00" * 3, "\u5000" * 3)


def test_values_that_are_too_long_are_cut_with_a_note(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.flac")
    file = FLAC(path)
    file["title"], file["artist"], file["lyrics"] = "t" * 501, "a" * 500, "la\n" * 70_000
    file.save()
    tags = read(path, workspace)
    assert [len(tags.fields[key][0]) for key in ("title", "artist")] == [500, 500]
    assert tags.notes == (
        "The tag 'lyrics' was cut to 200,000 characters.",
        "The tag 'title' was cut to 500 characters.",
    )
