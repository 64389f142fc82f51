"""Reads the chunks of a WAV file (RIFF, RF64, BW64): their names and sizes, never more than a few bytes of samples.

The file may be hostile: only a bounded number of chunks is looked at, and only small ones are read.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

MAX_CHUNKS = 1000

KEPT_CHUNKS: Mapping[str, int] = {"bext": 1 << 20, "iXML": 4 << 20, "CSET": 64, "fmt ": 64}
"""Chunks whose content is read, and how large each may be."""

# What is missing after the `data` chunk must be at least this long to be called sound.
LEAST_MISSING_BYTES = 4096

# What begins with one of these is a chunk or a tag, whatever size it claims: some programs write wrong sizes, and some
# files are cut off inside their cover.
KNOWN_BEGINNINGS = (
    *(b"LIST", b"id3 ", b"ID3", b"TAG", b"APETAGEX", b"bext", b"iXML", b"axml", b"_PMX", b"CSET", b"cart", b"chna"),
    *(
        b"cue ",
        b"fact",
        b"smpl",
        b"inst",
        b"acid",
        b"plst",
        b"DISP",
        b"PEAK",
        b"levl",
        b"JUNK",
        b"junk",
        b"PAD ",
        b"FLLR",
    ),
    *(b"fmt ", b"data", b"dbmd", b"ubxt", b"umid", b"minf", b"elm1", b"regn", b"strc", b"LGWV", b"ResU", b"r64m"),
)

# So much is searched for a chunk behind zeros: programs pad samples up to the next block of the disk.
MAX_PADDING_BYTES = 64 << 10

# Sizes of 32 bits wrap at this.
WRAP_BYTES = 1 << 32

# Programs that write into a pipe do not know the size, and claim about the largest one of 31 or 32 bits. Others claim
# another large power of two, of which some subtract the header.
LEAST_UNKNOWN_BYTES = (1 << 31) - (1 << 16)
LEAST_POWER_BYTES, HEADER_BYTES = 1 << 28, 1 << 16

# More bytes than any recording has.
MAX_BELIEVED_BYTES = 1 << 48

# How much at the end of a file whose samples have an unknown size is searched for a tag with its pictures, and at how
# many places a chunk may seem to begin. Four bytes of sound look like a name once in 200 MB.
MAX_TAIL_BYTES, MAX_TAIL_PLACES = 16 << 20, 100
TAIL_NAME = re.compile(b"LIST|id3 |ID3 |bext|iXML|axml|_PMX|cart|cue |smpl|inst|acid|DISP|PEAK|levl|LGWV|ResU|JUNK")

# PCM, floats, and the extensible format that holds either.
PLAIN_FORMATS = {1, 3, 0xFFFE}


@dataclass(frozen=True)
class RiffChunks:
    """What a WAV file's chunks say.

    `data_start` and `data_bytes` are where the samples are, as the header claims; 0 bytes if their size is unknown.
    `contents` holds small chunks by name. `end_of_chunks` is where the last chunk ends that has a valid name.
    `has_more_samples`: another file, or another chunk of samples, follows.
    """

    is_rf64: bool
    data_start: int
    data_bytes: int
    file_bytes: int
    end_of_chunks: int
    contents: Mapping[str, bytes] = field(default_factory=dict)
    has_more_samples: bool = False

    @property
    def is_size_known(self) -> bool:
        """Whether the header says how many bytes of samples there are."""
        return self.data_bytes not in {0, WRAP_BYTES - 1}


def read_riff_chunks(path: Path) -> RiffChunks | None:
    """Return the chunks of a WAV file; None if it is none, or has no samples."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in {b"RIFF", b"RF64", b"BW64"} or head[8:] != b"WAVE":
            return None
        file_bytes = os.fstat(file.fileno()).st_size
        is_rf64, large_data_bytes, data, end = head[:4] != b"RIFF", 0, None, 12
        contents: dict[str, bytes] = {}
        has_more = False
        for name, start, size in _chunks(file, 12, file_bytes):
            if name == "ds64":
                # Sizes of the whole and of the samples, 64 bits each.
                large_data_bytes = int.from_bytes(file.read(16)[8:16], "little")
            if name == "data" and data is None:
                data = (start, large_data_bytes if is_rf64 and size == WRAP_BYTES - 1 else size)
                # The walk cannot go on behind samples of more than 4 GiB by the size in the chunk's own header.
                for name_after, start_after, size_after in _chunks(file, data[0] + data[1] + data[1] % 2, file_bytes):
                    _keep(file, contents, name_after, start_after, size_after)
                    has_more |= name_after in {"RIFF", "data"} and size_after >= LEAST_MISSING_BYTES
                    end = min(start_after + size_after + size_after % 2, file_bytes)
                break
            _keep(file, contents, name, start, size)
    if data is None:
        return None
    data_start, claimed = data
    end = max(end, min(data_start + claimed, file_bytes))
    is_unknown = data_start + claimed > file_bytes and _stands_for_unknown(claimed, is_rf64)
    return RiffChunks(is_rf64, data_start, 0 if is_unknown else claimed, file_bytes, end, contents, has_more)


def _stands_for_unknown(claimed: int, is_rf64: bool) -> bool:
    """Return whether a size that the file does not have was claimed because the program did not know the size."""
    power = 1 << (claimed - 1).bit_length()
    return (
        (claimed >= LEAST_POWER_BYTES and power - claimed <= HEADER_BYTES)
        or (claimed >= LEAST_UNKNOWN_BYTES and not is_rf64)
        or claimed > MAX_BELIEVED_BYTES
    )


def _chunks(file: BinaryIO, position: int, file_bytes: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, place of the content and claimed size of the chunks from here on, up to the first without a name."""
    for _ in range(MAX_CHUNKS):
        # Sizes of 64 bits may lead to places that a file cannot have.
        if position >= file_bytes:
            return
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or not _is_name(header[:4]):
            return
        size = struct.unpack("<I", header[4:])[0]
        yield header[:4].decode("ascii"), position + 8, size
        position += 8 + size + size % 2


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name) and name.strip() != b""


def _keep(file: BinaryIO, contents: dict[str, bytes], name: str, start: int, size: int) -> None:
    if name in KEPT_CHUNKS and name not in contents and size <= KEPT_CHUNKS[name]:
        file.seek(start)
        contents[name] = file.read(size)


def end_of_samples(path: Path, chunks: RiffChunks) -> int | None:
    """Return where the samples really end, if they plainly go on after the size in the header; None if they do not.

    A size of 32 bits wraps at 4 GiB: then the true end is a multiple of 4 GiB further on, at the end of the file or at
    another chunk. Otherwise the size was never brought up to date, and what follows is no chunk, no tag and not empty.
    Samples of unknown size end at the chunks that a program appended later.
    """
    claimed_end = chunks.data_start + chunks.data_bytes
    if not chunks.is_size_known:
        tail = _start_of_tail(path, chunks)
        # Without a size, ffmpeg itself reads to the end of the file, but not in an RF64 file that was never finished.
        return tail if chunks.is_rf64 or tail < chunks.file_bytes else None
    if chunks.file_bytes - claimed_end < LEAST_MISSING_BYTES:
        return None
    with path.open("rb") as file:
        if _continues_as_a_file(file, claimed_end, chunks.file_bytes):
            return None
        for end in range(claimed_end + WRAP_BYTES, chunks.file_bytes + 1, WRAP_BYTES):
            if end == chunks.file_bytes or _continues_as_a_file(file, end, chunks.file_bytes):
                return end
        if is_reserved(file, claimed_end):
            return None
    return chunks.file_bytes


def seconds_before_cut(chunks: RiffChunks) -> float | None:
    """Return the length that the header claims of a file that is shorter; None if it is not cut off or not known."""
    form = chunks.contents.get("fmt ", b"")
    if chunks.data_start + chunks.data_bytes <= chunks.file_bytes or len(form) < 16:
        return None
    kind, byte_rate = struct.unpack_from("<H6xI", form)
    if kind not in PLAIN_FORMATS or not byte_rate:
        return None
    return float(chunks.data_bytes / byte_rate)


def _start_of_tail(path: Path, chunks: RiffChunks) -> int:
    """Return where the chunks begin that fill the end of the file, found by their names; its end if there are none."""
    with path.open("rb") as file:
        first = max(chunks.data_start, chunks.file_bytes - MAX_TAIL_BYTES)
        file.seek(first)
        for found in islice(TAIL_NAME.finditer(file.read()), MAX_TAIL_PLACES):
            if _chunks_fill_the_file(file, first + found.start(), chunks.file_bytes):
                return first + found.start()
    return chunks.file_bytes


def _continues_as_a_file(file: BinaryIO, position: int, file_bytes: int) -> bool:
    """Return whether chunks or a tag follow here. Some programs write no pad byte after an odd number of bytes."""
    places = {position, position + position % 2}
    return any(
        begins_with_known_name(file, place) or _chunks_fill_the_file(file, place, file_bytes) for place in places
    )


def begins_with_known_name(file: BinaryIO, position: int) -> bool:
    """Return whether a tag or a chunk with a known name begins here, perhaps after zeros."""
    file.seek(position)
    return file.read(MAX_PADDING_BYTES).lstrip(b"\0").startswith(KNOWN_BEGINNINGS)


def is_reserved(file: BinaryIO, position: int) -> bool:
    """Return whether zeros follow here: a recorder has reserved the space and not used it."""
    file.seek(position)
    return not any(file.read(LEAST_MISSING_BYTES))


def _chunks_fill_the_file(file: BinaryIO, position: int, file_bytes: int) -> bool:
    """Return whether chunks of any name reach from here to the end of the file."""
    last = position
    for _, start, size in _chunks(file, position, file_bytes):
        last = start + size
    # A last chunk that was cut off, or a little padding, is not sound.
    return last > position and last + 1 >= file_bytes - LEAST_MISSING_BYTES and last <= file_bytes + LEAST_MISSING_BYTES
