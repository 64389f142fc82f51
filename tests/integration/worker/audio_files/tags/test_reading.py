"""Tags of sources: read by the probe, and again with mutagen where there are any; then written into the stems."""

from __future__ import annotations

import base64
import resource
import signal
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from mutagen import id3
from mutagen.apev2 import APEBinaryValue, APEv2
from mutagen.asf import ASF
from mutagen.flac import FLAC, Picture
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.oggvorbis import OggVorbis

from shared.errors import ScratchFullError
from tests.fixtures.audio import convert, make_song, write_wav
from worker.audio_files.ffmpeg import bundled_ffmpeg
from worker.audio_files.probe import Probe, probe_file
from worker.audio_files.tags.fields import MAX_PICTURE_BYTES, CoverPicture, Tags
from worker.audio_files.tags.reading import read_tags
from worker.audio_files.tags.writing import write_tags
from worker.run_messages import Work
from worker.run_support.workspace import Workspace

TAGS = {"title": 'A = "b"; #1', "artist": "Zoë", "album": "Älbum", "date": "1999"}
FIELDS = {key: (value,) for key, value in TAGS.items()}

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

FRONT, BACK = b"\xff\xd8\xff front" + bytes(2000), b"\x89PNG back" + bytes(3000)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return Workspace(folder, max_bytes=1 << 30)


def plain(folder: Path, name: str, *options: str) -> Path:
    return convert(write_wav(folder / "in.wav", make_song(1)), folder / name, *options)


def tagged(folder: Path, name: str) -> Path:
    return plain(folder, name, *(v for field, value in TAGS.items() for v in ("-metadata", f"{field}={value}")))


def look(path: Path, workspace: Workspace) -> Probe:
    return probe_file(path, workspace=workspace, ffmpeg_path=None, max_seconds=60)


def read(path: Path, workspace: Workspace, found: Probe | None = None) -> Tags:
    work = Work(str(path), "out", "scratch", path.name, engine="repetition")
    tags = read_tags(work, found or look(path, workspace), workspace)
    assert tags is not None
    return tags


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


def work_for(path: Path, format_name: str) -> Work:
    return Work(str(path), "out", "scratch", path.name, engine="repetition", format=format_name)


def id3v1(path: Path, **fields: bytes) -> None:
    values = b"".join(fields.get(key, b"").ljust(30, b"\0") for key in ("title", "artist", "album"))
    path.write_bytes(path.read_bytes() + b"TAG" + values + b"2003" + bytes(28) + b"\0\x07" + b"\x11")


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
    text = b"\1" + title.encode(order)
    frame = b"TIT2" + struct.pack(">I", len(text)) + bytes(2) + text
    path = plain(tmp_path, "song.mp3", "-map_metadata", "-1", "-bitexact", "-id3v2_version", "0")
    path.write_bytes(b"ID3\x03\0\0\0\0\0" + bytes([len(frame)]) + frame + path.read_bytes())
    assert read(path, workspace).fields["title"] == (title,)


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


def add_id3_pictures(path: Path, *pictures: tuple[int, bytes]) -> None:
    file = MP3(path)
    if file.tags is None:
        file.add_tags()
    for kind, data in pictures:
        file.tags.add(id3.APIC(encoding=3, mime="image/jpeg", type=kind, desc=f"{kind}", data=data))
    file.save()


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


def test_a_cover_above_the_limit_is_left_out_with_a_note(tmp_path: Path, workspace: Workspace) -> None:
    path = plain(tmp_path, "song.mp3")
    add_id3_pictures(path, (3, b"\xff\xd8\xff" + bytes(MAX_PICTURE_BYTES)))
    tags = read(path, workspace)
    assert tags.pictures == ()
    assert tags.notes == ("A picture of 15.7 MB was not copied into the stems; the limit is 16 MB.",)


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
