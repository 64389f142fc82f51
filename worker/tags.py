"""Title, artist, album, date and cover from the source to the stems.

ffmpeg reads them, confined, since the source is a stranger's file; mutagen writes them, into files of ours.
Tags are an extra: what cannot be read or written is a note in the report, never a failed job.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
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

from worker import ffmpeg
from worker.probing import Probe, walked_tags
from worker.work import Work
from worker.workspace import Workspace

FIELDS = ("title", "artist", "album", "date")

# Longer values are somebody's joke, larger covers cost more than the music.
MAX_VALUE_CHARACTERS = 500
MAX_COVER_BYTES = 5 << 20

READ_SECONDS = 5.0

ID3_FRAMES: Mapping[str, Any] = {"title": id3.TIT2, "artist": id3.TPE1, "album": id3.TALB, "date": id3.TDRC}


@dataclass(frozen=True)
class Tags:
    """What is carried over: some of FIELDS, and a JPEG or PNG."""

    fields: Mapping[str, str]
    cover: bytes | None = None

    @property
    def cover_type(self) -> str:
        """Return the MIME type of the cover."""
        return "image/png" if (self.cover or b"").startswith(b"\x89PNG") else "image/jpeg"


def write_tags(work: Work, tags: Tags | None, stems: Mapping[str, Path]) -> Sequence[str]:
    """Give the stems the source's tags, with the stem's name in the title; return notes on what failed."""
    if tags is None:
        return ["The source's tags could not be read."]
    title = tags.fields.get("title") or _printable(Path(work.source_filename).stem)
    notes = []
    for name, path in stems.items():
        fields = {**tags.fields, "title": f"{title} ({name})"}
        try:
            _write(path, work.format, Tags(fields, tags.cover))
        except (MutagenError, OSError, ValueError):
            notes.append(f"Tags could not be written into {path.name}.")
    return notes


def read_tags(work: Work, found: Probe, workspace: Workspace) -> Tags | None:
    """Return what the walk over the packets has written, unless it was cut short or there is a cover as well."""
    if found.cover_stream is not None or found.walked_seconds is None:
        return _read_apart(work, found, workspace)
    return Tags(parse_ffmetadata(walked_tags(workspace).read_bytes().decode("utf-8", "replace")))


def _read_apart(work: Work, found: Probe, workspace: Workspace) -> Tags | None:
    """Have ffmpeg write the container's and the stream's tags as text, and the cover as it is; None where it cannot."""
    text_path, cover_path = workspace.path("tags.txt"), workspace.path("cover")
    cover: Sequence[str] = ()
    if found.cover_stream is not None:
        cover = (
            *("-map", f"0:{found.cover_stream}", "-c", "copy", "-frames:v", "1"),
            *("-f", "image2pipe", f"file:{cover_path}"),
        )
    with Path(work.input_path).open("rb") as source, text_path.open("wb") as text:
        process = ffmpeg.start(
            [
                *("-v", "quiet", "-y", *ffmpeg.untrusted_input(), "-f", "ffmetadata", "pipe:1"),
                *("-map_metadata", "0:s:a:0", "-f", "ffmetadata", "pipe:1", *cover),
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
    """Return the known fields of ffmpeg's metadata text; of repeated ones the first.

    Chapters have titles too, so everything from the first section on is passed over, up to the next header. Within a
    value, lines end in a backslash: those of lyrics often look like sections.
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
    spaced = "".join(" " if c.isspace() else c for c in text)
    return "".join(c for c in spaced if c.isprintable())[:MAX_VALUE_CHARACTERS].strip()


def _write(path: Path, format_name: str, tags: Tags) -> None:
    """Write the tags as the format has them. Raises MutagenError, OSError or ValueError."""
    match format_name:
        case "mp3":
            _write_id3(MP3(path), tags)
        case "wav":
            _write_id3(WAVE(path), tags)
        case "m4a":
            _write_mp4(MP4(path), tags)
        case "flac":
            _write_vorbis_comments(FLAC(path), tags)
        case "ogg":
            _write_vorbis_comments(OggVorbis(path), tags)
        case "opus":
            _write_vorbis_comments(OggOpus(path), tags)


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
