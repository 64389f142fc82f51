"""Pictures in tags: the front cover is the one that says so, and arrives whole or with a note."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from mutagen.apev2 import APEBinaryValue, APEv2
from mutagen.flac import FLAC, Picture
from mutagen.oggvorbis import OggVorbis

from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.fixtures.sounds.tagged_files import (
    BACK,
    FIELDS,
    FRONT,
    TAGS,
    add_id3_pictures,
    plain,
    read,
    tagged,
    work_for,
)
from worker.audio_files.tags.fields import MAX_PICTURE_BYTES, CoverPicture, Tags
from worker.audio_files.tags.writing import write_tags
from worker.run_support.workspace import Workspace


def test_the_front_cover_is_the_picture_that_says_so(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.mp3")
    add_id3_pictures(path, (4, BACK), (3, FRONT))
    assert read(path, workspace).pictures == (CoverPicture(FRONT, 3), CoverPicture(BACK, 4))


def test_the_only_picture_becomes_the_front_cover_whatever_it_shows(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.mp3")
    add_id3_pictures(path, (0, BACK))
    assert read(path, workspace).pictures == (CoverPicture(BACK, 3),)


def test_the_front_cover_of_flac_is_found_behind_another(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.flac")
    file = FLAC(path)
    for kind, data in ((4, BACK), (3, FRONT)):
        picture = Picture()
        picture.type, picture.mime, picture.data = kind, "image/jpeg", data
        file.add_picture(picture)
    file.save()
    assert [p.data for p in read(path, workspace).pictures] == [FRONT, BACK]


@pytest.mark.parametrize("size", [6 << 20, MAX_PICTURE_BYTES - 100])
@pytest.mark.parametrize("stem_format", ["flac", "mp3", "ogg", "m4a"])
def test_a_large_cover_arrives_whole(tmp_path: Path, workspace: Workspace, size: int, stem_format: str) -> None:
    path, cover = plain(tmp_path, "song.mp3"), b"\xff\xd8\xff" + bytes(range(256)) * (size // 256)
    add_id3_pictures(path, (3, cover))
    stem = plain(tmp_path, f"stem.{stem_format}", *(("-c:a", "libvorbis") if stem_format == "ogg" else ()))
    assert write_tags(work_for(path, stem_format), read(path, workspace), {"vocals": stem}) == []
    assert [p.data for p in read(stem, workspace).pictures] == [cover]


WEBP, GIF, BMP = b"RIFF\x10\0\0\0WEBP" + bytes(99), b"GIF89a" + bytes(99), b"BM" + bytes(99)
OTHER_PICTURES = (CoverPicture(WEBP, 3), CoverPicture(GIF, 4), CoverPicture(BMP, 5))


@pytest.mark.parametrize("stem_format", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_pictures_of_other_types_arrive_or_are_told(tmp_path: Path, workspace: Workspace, stem_format: str) -> None:
    path = plain(tmp_path, "song.flac")
    assert write_tags(work_for(path, "flac"), Tags(FIELDS, OTHER_PICTURES), {"song": path}) == []
    read_pictures = read(path, workspace)
    assert read_pictures.pictures == OTHER_PICTURES
    stem = plain(tmp_path, f"stem.{stem_format}", *(("-c:a", "libvorbis") if stem_format == "ogg" else ()))
    notes = write_tags(work_for(path, stem_format), read_pictures, {"vocals": stem})
    arrived = [picture.data for picture in read(stem, workspace).pictures]
    if stem_format == "m4a":
        assert arrived == [BMP]
        assert sorted(notes) == [
            f"m4a cannot hold a picture of the type image/{kind}; it was left out." for kind in ("gif", "webp")
        ]
    else:
        assert (arrived, notes) == ([WEBP, GIF, BMP], [])


def test_a_picture_of_an_unknown_kind_is_told(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.mp3", "-metadata", "title=Song")
    add_id3_pictures(path, (3, b"http://host/cover.jpg"))
    tags = read(path, workspace)
    assert (tags.pictures, tags.notes) == ((), ("A picture of an unknown kind was not copied into the stems.",))


def test_the_cover_of_an_old_ogg_file_is_read(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.ogg", "-c:a", "libvorbis")
    file = OggVorbis(path)
    file["title"], file["coverart"] = "Song", base64.b64encode(FRONT).decode()
    file.save()
    assert read(path, workspace).pictures == (CoverPicture(FRONT, 3),)


def test_the_cover_in_an_apev2_tag_is_read_beside_id3v2(tmp_path: Path, workspace: Workspace) -> None:
    path = tagged(tmp_path, "song.mp3")
    ape = APEv2()
    ape["Cover Art (Front)"] = APEBinaryValue(b"cover.jpg\0" + FRONT)
    ape["Dump"] = APEBinaryValue(bytes(range(256)))
    ape.save(path)
    tags = read(path, workspace)
    assert (tags.fields["title"], tags.pictures) == ((TAGS["title"],), (CoverPicture(FRONT, 3),))


def test_a_cover_above_the_limit_is_left_out_with_a_note(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.mp3")
    add_id3_pictures(path, (3, b"\xff\xd8\xff" + bytes(MAX_PICTURE_BYTES)))
    tags = read(path, workspace)
    assert tags.pictures == ()
    assert tags.notes == ("A picture of more than 15.7 MB was not copied into the stems.",)


def test_a_large_cover_of_matroska_is_whole_or_left_out_with_a_note(tmp_path: Path, workspace: Workspace) -> None:
    for size, kept in ((6 << 20, True), (MAX_PICTURE_BYTES + 10, False)):
        cover = tmp_path / "cover.jpg"
        noise = ("-f", "lavfi", "-i", "nullsrc=s=64x64", "-map", "1", "-frames:v", "1")
        convert(write_wav(tmp_path / "in.wav", make_song(1)), cover, *noise)
        data = cover.read_bytes() + bytes(range(256)) * (size // 256)
        cover.write_bytes(data[:size])
        attached = ("-attach", str(cover), "-metadata:s:t", "mimetype=image/jpeg", "-c:a", "flac")
        tags = read(plain(tmp_path, "song.mka", *attached), workspace)
        assert [len(p.data) for p in tags.pictures] == ([size] if kept else [])
        assert bool(tags.notes) != kept
