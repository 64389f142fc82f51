"""A script, started by `reading.py` in the sandbox, that reads the tags of the file on its standard input with mutagen.

    python -I -S embedded_reader.py FOLDER_OF_MUTAGEN

Standard output gets one line of JSON with the text and the sizes of the pictures, and then the pictures themselves.
mutagen knows several values of one field, the kinds of pictures, and identifiers that ffmpeg does not pass on. It runs
confined because a hostile file can make it use any amount of memory.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

# The folder of the package `worker` goes last, after the standard library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))  # noqa: PTH100, PTH120

from worker.audio_files.tags.fields import (
    FRONT_COVER,
    MAX_PICTURE_BYTES,
    MAX_PICTURES,
    decode_text,
    field_of,
    picture_type,
)

Picture = tuple[int, bytes]

MUSICBRAINZ_OWNER = "http://musicbrainz.org"
FREEFORM = "----:com.apple.iTunes:"
ATOMS = {
    "\xa9nam": "title",
    "\xa9ART": "artist",
    "\xa9alb": "album",
    "aART": "albumartist",
    "\xa9day": "date",
    "\xa9gen": "genre",
    "\xa9wrt": "composer",
    "cprt": "copyright",
    "tmpo": "bpm",
    "\xa9lyr": "lyrics",
    "sonm": "titlesort",
    "soar": "artistsort",
    "soal": "albumsort",
    "soaa": "albumartistsort",
    "soco": "composersort",
    "\xa9too": "encoder",
}
APE_PICTURES = {"cover art (front)": FRONT_COVER, "cover art (back)": 4}


def main(folder: str) -> None:
    """Read the tags of standard input and write them to standard output."""
    sys.path.append(folder)
    _read_text_as_it_is()
    with os.fdopen(0, "rb") as file:
        tags, pictures = _open(file)
    texts = list(_texts(tags))
    found = [(kind, data) for kind, data in pictures if data]
    wanted = [(kind, data) for kind, data in found if picture_type(data)]
    kept = [(kind, data) for kind, data in wanted if len(data) <= MAX_PICTURE_BYTES][:MAX_PICTURES]
    head = {
        "texts": texts,
        "pictures": [{"kind": kind, "size": len(data)} for kind, data in kept],
        "too_large": [len(data) for _, data in wanted if len(data) > MAX_PICTURE_BYTES],
        "unknown": len(found) - len(wanted),
    }
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + b"".join(data for _, data in kept))


def _read_text_as_it_is() -> None:
    """Make mutagen read text that is not UTF-8: it drops such letters of Vorbis comments, and a whole tag of APEv2.

    In ID3v2, UTF-16 may lack its byte order mark: it then has the order of the frame's earlier mark, or is guessed.
    """
    from mutagen import _vorbis, apev2  # noqa: PLC0415 - found only now
    from mutagen.id3 import _specs  # noqa: PLC0415

    def load_comments(comments: Any, file: BinaryIO, *_: Any, **__: Any) -> None:
        def read_block() -> bytes:
            size = file.read(4)
            data = file.read(int.from_bytes(size, "little"))
            if len(size) < 4 or len(data) < int.from_bytes(size, "little"):
                raise _vorbis.error("the comments are cut off")
            return data

        comments.vendor = decode_text(read_block())
        for _number in range(int.from_bytes(file.read(4), "little")):
            name, equals, value = read_block().partition(b"=")
            if equals and _vorbis.is_valid_key(key := name.decode("ascii", "replace")):
                comments.append((key, decode_text(value)))

    def parse_item(item: Any, data: bytes) -> None:
        item.value = decode_text(data)

    def read_text(spec: Any, header: Any, frame: Any, data: bytes) -> tuple[str, bytes]:
        if frame.encoding == 1 and data[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            frame.byte_order_mark = data[:2]
        elif frame.encoding == 1:
            mark: bytes = getattr(frame, "byte_order_mark", b"")
            value, rest = read_as_declared(spec, header, frame, mark + data)
            return (value if mark else _in_right_order(value)), rest
        text: tuple[str, bytes] = read_as_declared(spec, header, frame, data)
        return text

    readers: Any = (_vorbis.VComment, apev2.APETextValue, _specs.EncodedTextSpec)
    read_as_declared = readers[2].read
    readers[0].load, readers[1]._parse, readers[2].read = load_comments, parse_item, read_text


def _open(file: BinaryIO) -> tuple[Any, list[Picture]]:
    """Return the tags as mutagen reads them, and the pictures."""
    import mutagen  # noqa: PLC0415 - found only now
    from mutagen import apev2, id3  # noqa: PLC0415

    opened = None
    with contextlib.suppress(mutagen.MutagenError):
        opened = mutagen.File(file)
    tags = getattr(opened, "tags", None)
    pictures = [*_pictures(tags), *((p.type, p.data) for p in getattr(opened, "pictures", ()))]
    # Such as an ID3v2 tag before a format that does not have them, or APEv2 behind an MP3 whose ID3v2 says nothing.
    for kind in (id3.ID3, apev2.APEv2):
        has_text = any(field_of(name) for name, _ in _texts(tags))
        if has_text and pictures:
            break
        file.seek(0)
        with contextlib.suppress(mutagen.MutagenError):
            other = kind(file)
            tags = tags if has_text else other
            pictures = pictures or list(_pictures(other))
    return tags, pictures


def _texts(tags: Any) -> Iterator[tuple[str, str]]:
    """Yield name and value of each tag that is text, a pair for each value."""
    if hasattr(tags, "getall"):
        yield from _id3_texts(tags)
        return
    for name, values in (tags or {}).items():
        if name in {"trkn", "disk"}:
            label = "tracknumber" if name == "trkn" else "discnumber"
            yield from ((label, f"{n}/{total}" if total else str(n)) for n, total in values if n)
        elif name == "cpil":
            yield "compilation", "1" if values else "0"
        elif hasattr(values, "kind") and values.kind != 0:
            # An item of APEv2 that is not text.
            continue
        else:
            label = ATOMS.get(name, name.removeprefix(FREEFORM))
            for value in [values] if isinstance(values, str) or not hasattr(values, "__iter__") else values:
                yield label, _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return decode_text(bytes(value))
    # A BOOL of ASF; every other container writes 1 and 0.
    plain = getattr(value, "value", value)
    return str(int(plain)) if isinstance(plain, bool) else str(value)


def _id3_texts(tags: Any) -> Iterator[tuple[str, str]]:
    for frame in tags.values():
        # A frame that mutagen holds in another way must not cost the other frames.
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            yield from list(_frame_texts(frame))


def _frame_texts(frame: Any) -> Iterator[tuple[str, str]]:
    name = frame.FrameID
    if name == "UFID":
        if frame.owner == MUSICBRAINZ_OWNER:
            yield "musicbrainz_trackid", frame.data.decode("ascii", "ignore")
    elif (name == "USLT" or name.startswith("T")) and hasattr(frame, "text"):
        # TIPL and TMCL, the lists of people, have no text; none of the copied fields is theirs.
        values = frame.genres if name == "TCON" else frame.text if name != "USLT" else [frame.text]
        label = frame.desc if name == "TXXX" else name
        for value in map(str, values):
            yield label, _as_declared(value, frame.encoding == 0)


def _in_right_order(value: str) -> str:
    """Return UTF-16 without a byte order mark in the order that gives Latin letters; mutagen reads the low byte first.

    If nearly all characters of a text have an empty low byte, the text has the other byte order.
    """
    swapped = sum(ord(c) & 0xFF == 0 and 0x20 <= ord(c) >> 8 <= 0xFF for c in value)
    if len(value) < 3 or swapped < 0.8 * len(value):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-be", "replace")


def _as_declared(value: str, is_latin_1: bool) -> str:
    """Return the text; what was declared as Latin-1 is often in another encoding."""
    if not is_latin_1:
        return value
    try:
        return decode_text(value.encode("latin-1"))
    except UnicodeEncodeError:
        return value


def _pictures(tags: Any) -> Iterator[Picture]:
    if hasattr(tags, "getall"):
        yield from ((int(frame.type), bytes(frame.data)) for frame in tags.getall("APIC"))
        return
    for name, values in (tags or {}).items():
        lower = name.lower()
        if name == "covr":
            # MP4 has no kinds; the first is what players show.
            yield from ((FRONT_COVER if n == 0 else 0, bytes(data)) for n, data in enumerate(values))
        elif lower == "metadata_block_picture":
            yield from _flac_pictures(values)
        elif lower == "coverart" and "metadata_block_picture" not in tags:
            # The older form: the bytes of the picture alone.
            for value in values:
                with contextlib.suppress(ValueError):
                    yield FRONT_COVER, base64.b64decode(value)
        elif lower in APE_PICTURES:
            yield APE_PICTURES[lower], bytes(values.value).partition(b"\0")[2]
        elif name == "WM/Picture":
            yield from (_asf_picture(bytes(value.value)) for value in values)


def _flac_pictures(values: list[str]) -> Iterator[Picture]:
    from mutagen.flac import Picture, error  # noqa: PLC0415

    for value in values:
        try:
            picture = Picture(base64.b64decode(value))
        except (ValueError, error):
            continue
        yield picture.type, picture.data


def _asf_picture(data: bytes) -> Picture:
    """Return the picture in an attribute of ASF: kind, size, two texts in UTF-16, each with an end, and the bytes."""
    position = 5
    for _ in range(2):
        while position + 2 <= len(data) and data[position : position + 2] != b"\0\0":
            position += 2
        position += 2
    return (data[0] if data else 0), data[position:]


if __name__ == "__main__":
    main(sys.argv[1])
