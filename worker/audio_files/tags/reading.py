"""Reads the tags and pictures of a source, in confined processes, because the source may be hostile.

ffmpeg writes the tags of any container as text (the probe has asked it to). If there are any, mutagen reads them again
in a process of its own: it knows several values of a field, kinds of pictures, and fields that ffmpeg leaves out.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import mutagen

from worker.audio_files import ffmpeg
from worker.audio_files.headers.riff_chunks import read_riff_chunks
from worker.audio_files.packet_walk import walked_tags_path
from worker.audio_files.probe import Probe
from worker.audio_files.tags.fields import (
    FRONT_COVER,
    MAX_PICTURE_BYTES,
    CoverPicture,
    Tags,
    code_page_name,
    collect,
    decode_text,
    limit_of,
    picture_type,
)
from worker.run_messages import Work
from worker.run_support.workspace import Workspace
from worker.sandbox import launch

PROCESSOR_SECONDS = 5
"""How long a program that reads tags may compute."""

WAIT_SECONDS = 60.0
"""How long it may take in all: far longer, since on a busy machine it waits for its turn, and songs keep their tags."""

SCRIPT = Path(__file__).with_name("embedded_reader.py")

# What the script may use. Tags can be as large as their file; a picture is copied up to its limit.
SCRIPT_MEMORY_BYTES = 1 << 30
SCRIPT_OUTPUT_BYTES = 160 << 20

ID3V1_BYTES, APE_FOOTER_BYTES = 128, 32

# Title, artist and album in ID3v2, and how far they are looked for.
MAIN_FRAMES, ID3V2_LOOK_BYTES = re.compile(rb"TIT2|TPE1|TALB|TT2|TP1|TAL"), 4096

# Containers that mutagen does not know; ffmpeg takes their pictures out.
FOR_FFMPEG_ONLY = ("matroska", "avi", "nut", "flv", "rm", "au", "caf", "w64", "mxf", "mpegts", "mpeg")

# Without backtracking: with it, a tag of 20 MB would take 3 GB and half a minute, and text that was cut off behind a
# backslash would never end.
METADATA_LINE = re.compile(rb"(?:[^\\\n]++|\\[\s\S]?+)++")
METADATA_ENTRY = re.compile(rb"((?:[^=\\]++|\\[\s\S])++)=([\s\S]*)")

MAX_METADATA_BYTES, MAX_METADATA_LINES = 2 << 20, 50_000
"""How much of the text that ffmpeg writes is read: lyrics may be long, and there may be many chapters."""

UNKNOWN_PICTURE = "A picture of an unknown kind was not copied into the stems."
VALUE_CUT = "The tag {!r} was cut to {:,} characters."
PICTURE_LEFT_OUT = f"A picture of more than {MAX_PICTURE_BYTES / 1e6:.1f} MB was not copied into the stems."


def read_tags(work: Work, found: Probe, workspace: Workspace) -> Tags | None:
    """Return the tags and pictures of the source; None if they cannot be read in time."""
    if found.walked_seconds is None and not _write_again(work, found, workspace):
        return None
    code_page = _declared_code_page(Path(work.input_path)) if found.container == "wav" else None
    cut: set[str] = set()
    with walked_tags_path(workspace).open("rb") as text:
        fields = parse_ffmetadata(text.read(MAX_METADATA_BYTES), code_page, cut)
    if not fields and not found.pictures and not found.opening.skip_bytes and not _has_tag(Path(work.input_path)):
        return Tags({})
    if not found.container.startswith(FOR_FFMPEG_ONLY) and (embedded := _read_embedded(work, workspace, cut)):
        return Tags(_merge(fields, embedded.fields), embedded.pictures, (*embedded.notes, *_notes_on_cuts(cut)))
    pictures, notes = _read_picture(work, found, workspace) if found.pictures else ((), ())
    return Tags(fields, pictures, (*notes, *_notes_on_cuts(cut)))


def _notes_on_cuts(cut: set[str]) -> Sequence[str]:
    return [VALUE_CUT.format(key, limit_of(key)) for key in sorted(cut)]


def _has_tag(path: Path) -> bool:
    """Return whether the file has a tag that ffmpeg may not have read.

    It leaves out text of ID3v2 that it takes for broken, and reads no ID3v1 or APEv2 at the end of an MP3 that also
    begins with ID3v2.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(ID3V2_LOOK_BYTES)
            file.seek(max(0, file.seek(0, os.SEEK_END) - ID3V1_BYTES))
            end = file.read()
    except OSError:
        return False
    if begin.startswith(b"ID3") and MAIN_FRAMES.search(begin):
        return True
    # An APEv2 before an ID3v1 is found with it.
    return end.startswith(b"TAG") or end[-APE_FOOTER_BYTES:].startswith(b"APETAGEX")


def _merge(
    by_ffmpeg: Mapping[str, Sequence[str]], by_mutagen: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[str]]:
    """Return the fields of both. mutagen counts, unless its value was cut off, as in the 30 letters of ID3v1."""
    cut = {
        key
        for key, values in by_mutagen.items()
        if len(values) == 1 and by_ffmpeg.get(key, ("",))[0].startswith(values[0])
    }
    return {**by_mutagen, **{key: values for key, values in by_ffmpeg.items() if key in cut or key not in by_mutagen}}


def _declared_code_page(path: Path) -> str | None:
    """Return the code page that a WAV file declares for its texts (its chunk CSET), by Python's name."""
    chunks = read_riff_chunks(path)
    declared = chunks.contents.get("CSET", b"") if chunks else b""
    return code_page_name(struct.unpack("<H", declared[:2])[0]) if len(declared) >= 2 else None


def _write_again(work: Work, found: Probe, workspace: Workspace) -> bool:
    """Let ffmpeg write the tags of container and stream as text, after a walk that was cut short."""
    with walked_tags_path(workspace).open("wb") as text:
        stream = f"0:s:{found.stream_indexes[0]}"
        outputs = ("-f", "ffmetadata", "pipe:1", "-map_metadata", stream, "-f", "ffmetadata", "pipe:1")
        return _run_ffmpeg(
            work,
            found,
            outputs,
            stdout=text,
            confinement=ffmpeg.Confinement(cpu_seconds=PROCESSOR_SECONDS, file_bytes=MAX_METADATA_BYTES),
        )


def _read_picture(work: Work, found: Probe, workspace: Workspace) -> tuple[Sequence[CoverPicture], Sequence[str]]:
    """Let ffmpeg write the front cover unchanged, or the first picture if none says that it is the front cover.

    Return it, and notes on a picture that is not copied.
    """
    path = workspace.path("cover")
    outputs = (
        *("-map", f"0:{found.pictures[0].index}", "-c", "copy", "-frames:v", "1"),
        *("-f", "image2pipe", f"file:{path}"),
    )
    # One byte more than the limit shows that there is more.
    confinement = ffmpeg.Confinement(
        cpu_seconds=PROCESSOR_SECONDS, file_bytes=MAX_PICTURE_BYTES + 1, writable_folder=path.parent
    )
    _run_ffmpeg(work, found, outputs, stdout=None, confinement=confinement)
    data = path.read_bytes() if path.exists() else b""
    if len(data) > MAX_PICTURE_BYTES:
        return (), (PICTURE_LEFT_OUT,)
    return ((CoverPicture(data),), ()) if picture_type(data) else ((), (UNKNOWN_PICTURE,))


def _run_ffmpeg(
    work: Work, found: Probe, outputs: Sequence[str], *, stdout: Any, confinement: ffmpeg.Confinement
) -> bool:
    with Path(work.input_path).open("rb") as source:
        process = ffmpeg.start(
            ["-v", "quiet", "-y", *ffmpeg.untrusted_input(found.opening), *outputs],
            ffmpeg_path=work.ffmpeg_path,
            confinement=confinement,
            stdin=source,
            **({} if stdout is None else {"stdout": stdout}),
        )
        try:
            return ffmpeg.wait(process, seconds=WAIT_SECONDS)
        finally:
            process.kill()
            process.wait()


def _read_embedded(work: Work, workspace: Workspace, cut: set[str]) -> Tags | None:
    """Return what mutagen reads; None if it fails or takes too much. Adds the fields that are too long to `cut`."""
    path = workspace.path("tags.embedded")
    folder = Path(mutagen.__file__).parent
    with Path(work.input_path).open("rb") as source, path.open("wb") as output:
        process = launch.start(
            [sys.executable, "-I", "-S", str(SCRIPT), str(folder.parent)],
            _script_sandbox(folder),
            environment={},
            stdin=source,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        try:
            ended = ffmpeg.wait(process, seconds=WAIT_SECONDS)
        finally:
            process.kill()
            process.wait()
    data = path.read_bytes()
    path.unlink()
    return _parse_embedded(data, cut) if ended and process.returncode == 0 else None


def _script_sandbox(mutagen_folder: Path) -> launch.Sandbox:
    """Return what the script may do: read Python, mutagen and its own package, and compute."""
    python = {Path(p).absolute() for p in (sys.prefix, sys.base_prefix, Path(sys.executable).resolve().parent)}
    return launch.Sandbox(
        allowed=[
            *(("run", folder) for folder in (*launch.SYSTEM_FOLDERS, *sorted(python))),
            *(("read", place) for place in (*launch.LOADER_FILES, mutagen_folder, SCRIPT.parents[2])),
            *(("list", folder) for folder in (mutagen_folder.parent, SCRIPT.parents[3])),
        ],
        limits={
            "memory": SCRIPT_MEMORY_BYTES,
            "processor": PROCESSOR_SECONDS,
            "file": SCRIPT_OUTPUT_BYTES,
            "descriptors": ffmpeg.MAX_OPEN_FILES,
        },
        alone=True,
    )


def _parse_embedded(data: bytes, cut: set[str]) -> Tags | None:
    """Return the tags in what the script has written. It handled a stranger's file, so nothing in it is trusted."""
    line, _, rest = data.partition(b"\n")
    try:
        head = json.loads(line)
        fields = collect(((str(name), str(value)) for name, value in head["texts"]), cut)
        pictures = []
        for described in head["pictures"]:
            kind, size = int(described["kind"]), int(described["size"])
            content, rest = rest[:size], rest[size:]
            if len(content) == size and picture_type(content):
                pictures.append(CoverPicture(content, kind if 0 <= kind <= 20 else 0))
        notes = [PICTURE_LEFT_OUT] * len(head["too_large"])
        notes += [UNKNOWN_PICTURE] if int(head["unknown"]) else []
    except (ValueError, KeyError, TypeError):
        return None
    if pictures and not any(p.kind == FRONT_COVER for p in pictures):
        # Players show only a front cover.
        pictures[0] = CoverPicture(pictures[0].data)
    return Tags(fields, tuple(sorted(pictures, key=lambda p: p.kind != FRONT_COVER)), tuple(notes))


def parse_ffmetadata(
    text: bytes, code_page: str | None = None, cut: set[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the copied fields in ffmpeg's metadata text. If a field is repeated, the first value counts.

    Chapters have titles too, so everything after the first section header is ignored, up to the next file header. Lines
    within a value end with a backslash; lines of lyrics often look like section headers. ffmpeg passes the bytes of old
    tags on as they are, so each value is decoded by itself.
    """
    fields: dict[str, tuple[str, ...]] = {}
    is_head = True
    for found in islice(METADATA_LINE.finditer(text), MAX_METADATA_LINES):
        line = found[0]
        if line.startswith((b"[", b";FFMETADATA1")):
            is_head = line.startswith(b";")
            continue
        entry = METADATA_ENTRY.fullmatch(line)
        if not is_head or entry is None:
            continue
        value = decode_text(re.sub(rb"\\([\s\S])", rb"\1", entry[2]), code_page)
        for key, values in collect([(decode_text(entry[1]), value)], cut).items():
            fields.setdefault(key, values)
    return fields
