"""Tags of sources: read by the probe, and again with mutagen where there are any; then written into the stems."""

from __future__ import annotations

import resource
import signal
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from mutagen import id3
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4

from shared.errors import ScratchFullError
from tests.fixtures.sounds.tagged_files import (
    BACK,
    FIELDS,
    FRONT,
    TAGS,
    add_id3_pictures,
    id3v1,
    look,
    plain,
    read,
    tagged,
    work_for,
)
from worker.audio_files.ffmpeg import bundled_ffmpeg
from worker.audio_files.tags.fields import CoverPicture, Tags
from worker.audio_files.tags.writing import write_tags
from worker.run_support.workspace import Workspace

RICH = {
    **FIELDS,
    "artist": ("Zoë; the first", "Second"),
    "albumartist": ("Various",),
    "tracknumber": ("4",),
    "tracktotal": ("12",),
    "discnumber": ("2",),
    "disctotal": ("3",),
    "genre": ("Soul",),
    "composer": ("One", "Two"),
    "isrc": ("USABC0100001",),
    "copyright": ("(C) 2001 Label",),
    "compilation": ("1",),
    "bpm": ("123",),
    "key": ("Am",),
    "lyrics": ("la la\nla",),
    "label": ("Label",),
    "artistsort": ("Zoë",),
    "musicbrainz_trackid": ("0c7bd4ee-0000-4000-8000-000000000001",),
    "musicbrainz_albumid": ("0c7bd4ee-0000-4000-8000-000000000002",),
    "musicbrainz_artistid": ("0c7bd4ee-0000-4000-8000-000000000003", "0c7bd4ee-0000-4000-8000-000000000004"),
    "musicbrainz_releasetrackid": ("0c7bd4ee-0000-4000-8000-000000000005",),
}


# Ogg stores tags with the stream, the other formats with the container.
@pytest.mark.parametrize("name", ["song.mp3", "song.flac", "song.ogg", "song.m4a", "song.wav", "song.mka", "song.wv"])
def test_tags_are_read_from_every_container(tmp_path: Path, workspace: Workspace, name: str) -> None:
    read_fields = dict(read(tagged(tmp_path, name), workspace).fields)
    read_fields.pop("copyright", None)
    assert read_fields == FIELDS


def test_no_process_is_started_for_a_file_without_tags(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.flac")
    found = look(path, workspace)
    # Nothing is there to be opened any more.
    path.unlink()
    assert read(path, workspace, found) == Tags({})


def test_tags_are_the_same_if_the_probe_was_cut_short(tmp_path: Path, workspace: Workspace) -> None:
    path = tagged(tmp_path, "song.mp3")
    cut = replace(look(path, workspace), walked_seconds=None)
    assert read(path, workspace, cut).fields == FIELDS


@pytest.mark.parametrize("source_format", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
@pytest.mark.parametrize("stem_format", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_all_fields_and_pictures_pass_through_every_format(
    tmp_path: Path, workspace: Workspace, source_format: str, stem_format: str
) -> None:
    """What a first stem was given is read from it as a source, and written into a second one."""
    pictures = (CoverPicture(FRONT, 3), CoverPicture(BACK, 4))
    source = plain(tmp_path, f"source.{source_format}", *(("-c:a", "libvorbis") if source_format == "ogg" else ()))
    assert write_tags(work_for(source, source_format), Tags(RICH, pictures), {"song": source}) == []
    passed = read(source, workspace)
    stem = plain(tmp_path, f"stem.{stem_format}", *(("-c:a", "libvorbis") if stem_format == "ogg" else ()))
    assert write_tags(work_for(source, stem_format), passed, {"vocals": stem}) == []
    arrived = read(stem, workspace)
    assert dict(arrived.fields) == {**RICH, "title": (f"{TAGS['title']} (song) (vocals)",)}
    assert [picture.data for picture in arrived.pictures] == [FRONT, BACK]
    if "m4a" not in {source_format, stem_format}:
        # MP4 has no kinds of pictures.
        assert [picture.kind for picture in arrived.pictures] == [3, 4]


def test_tags_before_monkeys_audio_are_read_too(tmp_path: Path, workspace: Workspace) -> None:
    wavpack = plain(tmp_path, "song.wv")
    tag = id3.ID3()
    tag.add(id3.TIT2(encoding=3, text="Song"))
    tag.add(id3.TPE1(encoding=3, text=["A", "B"]))
    tag.save(tmp_path / "tag")
    path = tmp_path / "behind.wv"
    path.write_bytes((tmp_path / "tag").read_bytes() + wavpack.read_bytes())
    assert read(path, workspace).fields == {"title": ("Song",), "artist": ("A", "B")}


def test_several_artists_are_read_from_apev2_and_mp4(tmp_path: Path, workspace: Workspace) -> None:
    wavpack, m4a = plain(tmp_path, "song.wv"), plain(tmp_path, "song.m4a")
    ape = APEv2()
    ape["Artist"] = ["A", "B"]
    ape.save(wavpack)
    file = MP4(m4a)
    file["\xa9ART"] = ["A", "B"]
    file.save()
    assert read(wavpack, workspace).fields["artist"] == read(m4a, workspace).fields["artist"] == ("A", "B")


def test_a_list_of_people_does_not_cost_the_other_frames(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.mp3")
    add_id3_pictures(path, (3, FRONT))
    file = MP3(path)
    assert file.tags is not None
    file.tags.add(id3.TPE1(encoding=3, text=["A", "B"]))
    file.tags.add(id3.TIPL(encoding=3, people=[["producer", "P"]]))
    file.tags.add(id3.TMCL(encoding=3, people=[["drums", "D"]]))
    file.save()
    tags = read(path, workspace)
    assert tags.fields["artist"] == ("A", "B")
    assert [picture.data for picture in tags.pictures] == [FRONT]


@pytest.mark.parametrize("kinds", [("id3v1",), ("apev2",), ("apev2", "id3v1")])
def test_tags_at_the_end_of_an_mp3_are_read_although_it_begins_with_an_id3v2_that_says_nothing(
    tmp_path: Path, workspace: Workspace, kinds: tuple[str, ...]
) -> None:
    path = plain(tmp_path, "song.mp3", "-map_metadata", "-1")
    assert path.read_bytes().startswith(b"ID3"), "ffmpeg names itself in TSSE"
    if "apev2" in kinds:
        ape = APEv2()
        ape["Title"] = "Song"
        ape.save(path)
    if "id3v1" in kinds:
        id3v1(path, title=b"Song")
    assert read(path, workspace).fields["title"] == ("Song",)


def test_an_asf_without_compilation_does_not_become_one(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.wma")
    file = ASF(path)
    file["WM/IsCompilation"], file["Title"] = False, "Song"
    file.save()
    tags = read(path, workspace)
    assert tags.fields["compilation"] == ("0",)
    stem = plain(tmp_path, "stem.m4a")
    for value in ("0", "False"):
        assert write_tags(work_for(stem, "m4a"), Tags({"compilation": (value,)}), {"vocals": stem}) == []
        assert MP4(stem)["cpil"] is False


def test_a_tag_that_unpacks_to_gigabytes_does_no_harm(tmp_path: Path, workspace: Workspace) -> None:
    import zlib

    packed = zlib.compress(bytes(1 << 28), 9)
    bomb = b""
    for _ in range(8):
        size = 4 + len(packed)
        sync_safe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
        bomb += b"TXXX" + sync_safe + b"\0\x09" + struct.pack(">I", 1 << 28) + packed
    title = b"TIT2" + bytes((0, 0, 0, 5)) + b"\0\0\x03Song"
    body = title + bomb
    head = b"ID3\x04\0\0" + bytes((len(body) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path = plain(tmp_path, "song.mp3", "-map_metadata", "-1", "-id3v2_version", "0")
    path.write_bytes(head + body + path.read_bytes())
    assert read(path, workspace).fields["title"] == ("Song",)


@pytest.mark.parametrize("stem_format", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_a_disk_that_fills_up_while_tags_are_written_leaves_no_broken_stem(tmp_path: Path, stem_format: str) -> None:
    """A stem whose samples were moved in part would be delivered as if only its tags were missing."""
    stem = plain(tmp_path, f"stem.{stem_format}", *(("-c:a", "libvorbis") if stem_format == "ogg" else ()))
    tags = Tags(FIELDS, (CoverPicture(b"\xff\xd8\xff" + bytes(4 << 20)),))
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
    try:
        with pytest.raises(ScratchFullError, match=rf"stem\.{stem_format} cannot be written"):
            write_tags(work_for(stem, stem_format), tags, {"vocals": stem})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_wav_of_more_than_4_gib_has_tags(tmp_path: Path) -> None:
    stem = plain(tmp_path, "stem.wav", "-rf64", "always")
    pictures = (CoverPicture(FRONT, 3), CoverPicture(BACK, 4))
    assert write_tags(work_for(stem, "wav"), Tags(RICH, pictures), {"vocals": stem}) == []
    content = stem.read_bytes()
    assert (content[:4], struct.unpack_from("<Q", content, 20)[0]) == (b"RF64", len(content) - 8)
    assert soundfile.info(stem).frames == 44_100
    described = subprocess.run([bundled_ffmpeg(), "-i", stem], capture_output=True, check=False).stderr.decode()
    for text in (f"{TAGS['title']} (vocals)", "Zoë", "4/12", "comment         : Cover (front)"):
        assert text in described
