"""Writes tags and pictures into the stems with mutagen, in the way of each format.

Tags are an extra: if they cannot be read or written, the report has a note, and the job does not fail.
"""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mutagen import MutagenError, id3
from mutagen.flac import FLAC, Picture
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, AtomDataType, MP4Cover, MP4FreeForm
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from shared.audio.formats import holds_stems
from shared.audio.names import without_audio_extension
from shared.errors import ScratchFullError
from worker.audio_files.broadcast_chunks import append_chunks
from worker.audio_files.tags.fields import Tags, clean
from worker.run_messages import Work
from worker.run_support.workspace import is_disk_full

ID3_FRAMES: Mapping[str, Any] = {
    "title": id3.TIT2,
    "artist": id3.TPE1,
    "album": id3.TALB,
    "albumartist": id3.TPE2,
    "date": id3.TDRC,
    "genre": id3.TCON,
    "composer": id3.TCOM,
    "isrc": id3.TSRC,
    "copyright": id3.TCOP,
    "compilation": id3.TCMP,
    "bpm": id3.TBPM,
    "key": id3.TKEY,
    "label": id3.TPUB,
    "titlesort": id3.TSOT,
    "artistsort": id3.TSOP,
    "albumsort": id3.TSOA,
    "albumartistsort": id3.TSO2,
    "composersort": id3.TSOC,
}
MP4_ATOMS = {
    "title": "\xa9nam",
    "artist": "\xa9ART",
    "album": "\xa9alb",
    "albumartist": "aART",
    "date": "\xa9day",
    "genre": "\xa9gen",
    "composer": "\xa9wrt",
    "copyright": "cprt",
    "lyrics": "\xa9lyr",
    "titlesort": "sonm",
    "artistsort": "soar",
    "albumsort": "soal",
    "albumartistsort": "soaa",
    "composersort": "soco",
}
MP4_FORMATS = {"m4a", "stem.mp4"}
MP4_PICTURES = {
    "image/jpeg": AtomDataType.JPEG,
    "image/png": AtomDataType.PNG,
    "image/bmp": AtomDataType.BMP,
}
VORBIS_NAMES = {"key": "initialkey"}

# Fields without a frame or an atom of their own, under the names that MusicBrainz Picard gives them.
FREE_NAMES = {
    "isrc": "ISRC",
    "key": "initialkey",
    "label": "LABEL",
    "musicbrainz_trackid": "MusicBrainz Track Id",
    "musicbrainz_releasetrackid": "MusicBrainz Release Track Id",
    "musicbrainz_albumid": "MusicBrainz Album Id",
    "musicbrainz_artistid": "MusicBrainz Artist Id",
    "musicbrainz_albumartistid": "MusicBrainz Album Artist Id",
    "musicbrainz_releasegroupid": "MusicBrainz Release Group Id",
    "musicbrainz_workid": "MusicBrainz Work Id",
}
MUSICBRAINZ_OWNER = "http://musicbrainz.org"


def write_tags(work: Work, tags: Tags | None, stems: Mapping[str, Path]) -> Sequence[str]:
    """Write the source's tags into the stems, with the stem's name in the title; return notes on what failed."""
    if tags is None:
        return ["The tags of the source could not be read."]
    title = next(iter(tags.fields.get("title", ())), None) or clean(
        without_audio_extension(Path(work.source_filename).name)
    )
    pictures = [p for p in tags.pictures if work.format not in MP4_FORMATS or p.media_type in MP4_PICTURES]
    notes = list(tags.notes)
    for left_out in {p.media_type for p in tags.pictures} - {p.media_type for p in pictures}:
        notes.append(f"{work.format} cannot hold a picture of the type {left_out}; it was left out.")
    for name, path in stems.items():
        fields = {**tags.fields, "title": (title_of_output(title, name, work),)}
        try:
            _write_file_tags(path, work.format, Tags(fields, pictures))
        except (MutagenError, OSError, ValueError) as error:
            _refuse_full_disk(error, path)
            notes.append(f"The tags could not be written into {path.name}.")
    return notes


def title_of_output(title: str, name: str, work: Work) -> str:
    """Return the title of an output, given that of the source: `Song (vocals)`.

    If the source is itself the vocals of a song, as its title says, `Song (vocals)` becomes `Song (lead of vocals)`.
    """
    if holds_stems(work.format):
        # A stem file is the song, for all programs that do not know stems.
        return title
    if work.source_output:
        found = re.fullmatch(rf"(.*) \(({re.escape(work.source_output)}(?: of .+)?)\)", title, re.DOTALL)
        if found:
            return f"{found[1]} ({name} of {found[2]})"
    return f"{title} ({name})"


def title_of_source(title: str, name: str) -> str:
    """Return the title of the source, given that of its output `name`: the reverse of `title_of_output`."""
    found = _title_of_stem(title, name)
    if not found:
        return title
    return f"{found[1]} ({found[2]})" if found[2] else found[1]


def output_that_was_separated(title: str, name: str) -> str | None:
    """Return the output that was separated, given the title of its stem `name`: `vocals` for `Song (bass of vocals)`.

    None if a song was separated.
    """
    found = _title_of_stem(title, name)
    return found[2].partition(" of ")[0] if found and found[2] else None


def _title_of_stem(title: str, name: str) -> re.Match[str] | None:
    """Return the song and the output that was separated, if any: `Song` and `vocals` of `Song (bass of vocals)`."""
    return re.fullmatch(rf"(.*) \({re.escape(name)}(?: of (.+))?\)", title, re.DOTALL)


def _refuse_full_disk(error: Exception, path: Path) -> None:
    """Raise ScratchFullError if the disk is full: the stem may be moved only in part, so it must not be used."""
    # mutagen wraps errors of the system into its own.
    for cause in (error, error.__cause__, error.__context__, *error.args):
        if isinstance(cause, OSError) and is_disk_full(cause):
            raise ScratchFullError(f"{path.name} cannot be written: the disk is full.") from error


def _write_file_tags(path: Path, format_name: str, tags: Tags) -> None:
    """Write the tags in the way of the format. Raises MutagenError, OSError, or ValueError for an unknown format."""
    if format_name not in TAG_WRITERS:
        raise ValueError(f"no way is known to write tags into the format {format_name!r}")
    open_file, write = TAG_WRITERS[format_name]
    write(open_file(path), tags)


def _numbered(tags: Tags, kind: str) -> str | None:
    """Return `4/12` for a track or disc of several, `4` if the total is not known."""
    number, total = (next(iter(tags.fields.get(f"{kind}{part}", ())), "") for part in ("number", "total"))
    return f"{number}/{total}" if number and total else number or None


def _write_id3(file: Any, tags: Tags) -> None:
    if file.tags is None:
        file.add_tags()
    utf8 = id3.Encoding.UTF8
    for field, values in tags.fields.items():
        if field == "musicbrainz_trackid":
            file.tags.add(id3.UFID(owner=MUSICBRAINZ_OWNER, data=values[0].encode("ascii", "ignore")))
        elif field == "lyrics":
            file.tags.add(id3.USLT(encoding=utf8, lang="und", desc="", text=values[0]))
        elif field in ID3_FRAMES:
            file.tags.add(ID3_FRAMES[field](encoding=utf8, text=list(values)))
        elif field in FREE_NAMES:
            file.tags.add(id3.TXXX(encoding=utf8, desc=FREE_NAMES[field], text=list(values)))
    for kind, frame in (("track", id3.TRCK), ("disc", id3.TPOS)):
        if text := _numbered(tags, kind):
            file.tags.add(frame(encoding=utf8, text=[text]))
    for number, picture in enumerate(tags.pictures):
        # Frames of the same description would replace each other.
        description = "" if number == 0 else str(number)
        file.tags.add(
            id3.APIC(encoding=utf8, mime=picture.media_type, type=picture.kind, desc=description, data=picture.data)
        )
    file.save()


def _write_mp4(file: Any, tags: Tags) -> None:
    if file.tags is None:
        file.add_tags()
    for field, values in tags.fields.items():
        if field in MP4_ATOMS:
            file.tags[MP4_ATOMS[field]] = list(values)
        elif field == "compilation":
            file.tags["cpil"] = values[0].lower() not in {"0", "", "false", "no"}
        elif field == "bpm":
            if (bpm := _integer(values[0])) is not None:
                file.tags["tmpo"] = [bpm]
        elif field in FREE_NAMES:
            free = [MP4FreeForm(value.encode(), dataformat=AtomDataType.UTF8) for value in values]
            file.tags[f"----:com.apple.iTunes:{FREE_NAMES[field]}"] = free
    for kind, atom in (("track", "trkn"), ("disc", "disk")):
        number, _, total = (_numbered(tags, kind) or "").partition("/")
        if (n := _integer(number)) is not None:
            file.tags[atom] = [(n, _integer(total) or 0)]
    if tags.pictures:
        file.tags["covr"] = [
            MP4Cover(picture.data, imageformat=MP4_PICTURES[picture.media_type]) for picture in tags.pictures
        ]
    file.save()


def _integer(text: str) -> int | None:
    """Return the number that a text begins with, if MP4 can hold it in 16 bits."""
    try:
        number = round(float(text))
    except (ValueError, OverflowError):
        return None
    return number if 0 < number < 1 << 16 else None


def _write_vorbis_comments(file: Any, tags: Tags) -> None:
    if file.tags is None:
        file.add_tags()
    for field, values in tags.fields.items():
        file.tags[VORBIS_NAMES.get(field, field)] = list(values)
    pictures = []
    for cover in tags.pictures:
        picture = Picture()
        picture.type, picture.mime, picture.data = cover.kind, cover.media_type, cover.data
        pictures.append(picture)
    if isinstance(file, FLAC):
        for picture in pictures:
            file.add_picture(picture)
    elif pictures:
        file.tags["metadata_block_picture"] = [base64.b64encode(p.write()).decode("ascii") for p in pictures]
    file.save()


class _WavTags:
    """The chunk with the ID3 tags of a WAV file. mutagen does not know RF64, the WAV of more than 4 GiB."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tags = id3.ID3()

    def save(self) -> None:
        written = io.BytesIO()
        self.tags.save(written, padding=lambda _: 0)
        data = written.getvalue()
        append_chunks(self._path, b"id3 " + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2))


# How tags are written into each output format: what opens the file, and what writes the tags into it.
TAG_WRITERS: Mapping[str, tuple[Callable[[Path], Any], Callable[[Any, Tags], None]]] = {
    "wav": (_WavTags, _write_id3),
    "flac": (FLAC, _write_vorbis_comments),
    "mp3": (MP3, _write_id3),
    "ogg": (OggVorbis, _write_vorbis_comments),
    "opus": (OggOpus, _write_vorbis_comments),
    "m4a": (MP4, _write_mp4),
    "stem.mp4": (MP4, _write_mp4),
}
