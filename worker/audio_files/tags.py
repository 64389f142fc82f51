"""Copies title, artist, album, date and cover from the source to the stems.

ffmpeg reads them in a confined process, because the source may be hostile. mutagen writes them, into files of our own.
Tags are an extra: if they cannot be read or written, the report has a note, and the job does not fail.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutagen import MutagenError, id3
from mutagen.flac import FLAC, Picture
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from worker.audio_files import ffmpeg
from worker.audio_files.probe import Probe, walked_tags_path
from worker.run_messages import Work
from worker.run_support.workspace import Workspace

FIELDS = ("title", "artist", "album", "date")

# Longer values make no sense, and larger covers would take more bytes than the music.
MAX_VALUE_CHARACTERS = 500
MAX_COVER_BYTES = 5 << 20

READ_SECONDS = 5.0

ID3_FRAMES: Mapping[str, Any] = {"title": id3.TIT2, "artist": id3.TPE1, "album": id3.TALB, "date": id3.TDRC}


@dataclass(frozen=True)
class Tags:
    """The tags that are copied: some of FIELDS, and a JPEG or PNG."""

    fields: Mapping[str, str]
    cover: bytes | None = None

    @property
    def cover_type(self) -> str:
        """Return the media type of the cover."""
        return "image/png" if (self.cover or b"").startswith(b"\x89PNG") else "image/jpeg"


def write_tags(work: Work, tags: Tags | None, stems: Mapping[str, Path]) -> Sequence[str]:
    """Write the source's tags into the stems, with the stem's name in the title; return notes on what failed."""
    if tags is None:
        return ["The tags of the source could not be read."]
    title = tags.fields.get("title") or _printable(Path(work.source_filename).stem)
    notes = []
    for name, path in stems.items():
        fields = {**tags.fields, "title": f"{title} ({name})"}
        try:
            _write_file_tags(path, work.format, Tags(fields, tags.cover))
        except (MutagenError, OSError, ValueError):
            notes.append(f"The tags could not be written into {path.name}.")
    return notes


def read_tags(work: Work, found: Probe, workspace: Workspace) -> Tags | None:
    """Return the tags that the probe has written. If it was cut short, or there is a cover, read them separately."""
    if found.pictures or found.walked_seconds is None:
        return _read_separately(work, found, workspace)
    return Tags(parse_ffmetadata(walked_tags_path(workspace).read_bytes().decode("utf-8", "replace")))


def _read_separately(work: Work, found: Probe, workspace: Workspace) -> Tags | None:
    """Let ffmpeg write the tags of container and stream as text, and the cover unchanged; None if it takes too long."""
    text_path, cover_path = workspace.path("tags.txt"), workspace.path("cover")
    cover: Sequence[str] = ()
    if found.pictures:
        cover = (
            *("-map", f"0:{found.pictures[0].index}", "-c", "copy", "-frames:v", "1"),
            *("-f", "image2pipe", f"file:{cover_path}"),
        )
    with Path(work.input_path).open("rb") as source, text_path.open("wb") as text:
        process = ffmpeg.start(
            [
                *("-v", "quiet", "-y", *ffmpeg.untrusted_input(found.opening), "-f", "ffmetadata", "pipe:1"),
                *("-map_metadata", f"0:s:{found.stream_indexes[0]}", "-f", "ffmetadata", "pipe:1", *cover),
            ],
            ffmpeg_path=work.ffmpeg_path,
            confinement=ffmpeg.Confinement(
                cpu_seconds=int(READ_SECONDS), file_bytes=MAX_COVER_BYTES, writable_folder=cover_path.parent
            ),
            stdin=source,
            stdout=text,
        )
        try:
            if not ffmpeg.wait(process, seconds=READ_SECONDS):
                return None
        finally:
            process.kill()
            process.wait()
    picture = cover_path.read_bytes() if cover and cover_path.exists() else None
    if picture and not picture.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        picture = None
    return Tags(parse_ffmetadata(text_path.read_bytes().decode("utf-8", "replace")), picture or None)


def parse_ffmetadata(text: str) -> dict[str, str]:
    """Return the known fields in ffmpeg's metadata text. If a field is repeated, the first value counts.

    Chapters have titles too, so everything after the first section header is ignored, up to the next file header. Lines
    within a value end with a backslash; lines of lyrics often look like section headers.
    """
    fields: dict[str, str] = {}
    is_head = True
    for line in re.findall(r"((?:[^\\\n]|\\[\s\S])+)(?:\n|$)", text):
        if line.startswith(("[", ";FFMETADATA1")):
            is_head = line.startswith(";")
            continue
        entry = re.fullmatch(r"((?:[^=\\]|\\[\s\S])+)=([\s\S]*)", line)
        if not is_head or entry is None:
            continue
        key, value = entry[1].lower(), _printable(re.sub(r"\\([\s\S])", r"\1", entry[2]))
        if key in FIELDS and value:
            fields.setdefault(key, value)
    return fields


def _printable(text: str) -> str:
    """Return the text with spaces for white space, without control characters, and not longer than the limit."""
    spaced = "".join(" " if c.isspace() else c for c in text)
    return "".join(c for c in spaced if c.isprintable())[:MAX_VALUE_CHARACTERS].strip()


def _write_file_tags(path: Path, format_name: str, tags: Tags) -> None:
    """Write the tags in the way of the format. Raises MutagenError, OSError, or ValueError for an unknown format."""
    if format_name not in TAG_WRITERS:
        raise ValueError(f"no way is known to write tags into the format {format_name!r}")
    open_file, write = TAG_WRITERS[format_name]
    write(open_file(path), tags)


def _write_id3(file: Any, tags: Tags) -> None:
    if file.tags is None:
        file.add_tags()
    for field, value in tags.fields.items():
        file.tags.add(ID3_FRAMES[field](encoding=id3.Encoding.UTF8, text=value))
    if tags.cover:
        file.tags.add(id3.APIC(encoding=id3.Encoding.UTF8, mime=tags.cover_type, type=3, data=tags.cover))
    file.save()


def _write_mp4(file: Any, tags: Tags) -> None:
    if file.tags is None:
        file.add_tags()
    atoms = {"title": "\xa9nam", "artist": "\xa9ART", "album": "\xa9alb", "date": "\xa9day"}
    for field, value in tags.fields.items():
        file.tags[atoms[field]] = [value]
    if tags.cover:
        kind = MP4Cover.FORMAT_PNG if tags.cover_type == "image/png" else MP4Cover.FORMAT_JPEG
        file.tags["covr"] = [MP4Cover(tags.cover, imageformat=kind)]
    file.save()


def _write_vorbis_comments(file: Any, tags: Tags) -> None:
    if file.tags is None:
        file.add_tags()
    for field, value in tags.fields.items():
        file.tags[field] = [value]
    if tags.cover:
        picture = Picture()
        picture.type, picture.mime, picture.data = 3, tags.cover_type, tags.cover
        if isinstance(file, FLAC):
            file.add_picture(picture)
        else:
            file.tags["metadata_block_picture"] = [base64.b64encode(picture.write()).decode("ascii")]
    file.save()


# How tags are written into each output format: what opens the file, and what writes the tags into it.
TAG_WRITERS: Mapping[str, tuple[Callable[[Path], Any], Callable[[Any, Tags], None]]] = {
    "wav": (WAVE, _write_id3),
    "flac": (FLAC, _write_vorbis_comments),
    "mp3": (MP3, _write_id3),
    "ogg": (OggVorbis, _write_vorbis_comments),
    "opus": (OggOpus, _write_vorbis_comments),
    "m4a": (MP4, _write_mp4),
}
