"""Finds plain samples in AIFF, Wave64, CAF and AU files whose header states too small a size, or none.

A recorder that was cut off has written no size, and sizes of 32 bits wrap at 4 GiB. ffmpeg then refuses the file, or
stops early without a word. Such samples are read as raw ones instead. WAV files have riff_chunks.py.

The file may be hostile: a bounded number of chunks is looked at, and only a few bytes of each.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from worker.audio_files.headers.riff_chunks import (
    LEAST_MISSING_BYTES,
    LEAST_UNKNOWN_BYTES,
    begins_with_known_name,
    is_reserved,
)

MAX_CHUNKS = 1000
MAX_CHANNELS, MAX_RATE_HZ = 64, 1_000_000

EXTENSIBLE = 0xFFFE

WAVE64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
WAVE64_NAME = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""How every name in a Wave64 file goes on after its four letters, but for the first."""

AIFC_KINDS = {
    # AIFF itself names no kind.
    **dict.fromkeys((b"", b"NONE", b"twos"), ("s", "be")),
    b"sowt": ("s", "le"),
    **dict.fromkeys((b"fl32", b"FL32", b"fl64", b"FL64"), ("f", "be")),
}
AU_KINDS = {2: ("s", 8), 3: ("s", 16), 4: ("s", 24), 5: ("s", 32), 6: ("f", 32), 7: ("f", 64)}
WIDTHS = {"s": {8, 16, 24, 32}, "u": {8}, "f": {32, 64}}

# Name, place of the content, claimed size.
Chunk = tuple[bytes, int, int]


@dataclass(frozen=True)
class SampleLayout:
    """How samples are stored. `kind`: `s` (integers), `u` (without sign) or `f` (floats); `order`: `be` or `le`."""

    kind: str
    bits: int
    order: str
    channels: int
    rate_hz: int

    @property
    def byte_rate(self) -> int:
        """Bytes of a second."""
        return self.bits // 8 * self.channels * self.rate_hz

    def is_plain(self) -> bool:
        """Return whether ffmpeg reads such samples without a header."""
        is_possible = 0 < self.channels <= MAX_CHANNELS and 0 < self.rate_hz <= MAX_RATE_HZ
        return is_possible and self.bits in WIDTHS[self.kind]

    def options(self) -> tuple[str, ...]:
        """Return ffmpeg's options for such samples."""
        name = f"{self.kind}{self.bits}" + ("" if self.bits == 8 else self.order)
        return ("-f", name, "-ar", str(self.rate_hz), "-ac", str(self.channels))


@dataclass(frozen=True)
class PlainSamples:
    """Where a file's samples are. `claimed_bytes`: their size by the header, 0 if the header does not say."""

    format: SampleLayout
    start: int
    claimed_bytes: int
    end: int
    """Where they really end."""
    file_bytes: int
    ffmpeg_reads_on: bool = False
    """Whether ffmpeg does not stop at the size in the header."""

    @property
    def says_too_little(self) -> bool:
        """Whether the samples go on after the size in the header."""
        return self.claimed_bytes > 0 and self.end > self.start + self.claimed_bytes

    @property
    def seconds_before_cut(self) -> float | None:
        """The length by the header, of a file that is shorter; None if it is not cut off."""
        if self.start + self.claimed_bytes <= self.file_bytes:
            return None
        return self.claimed_bytes / self.format.byte_rate


@dataclass(frozen=True)
class Container:
    """How a file is divided into chunks. `begin`: where the first one is. `chunks` yields them from a position on.

    `read` gets a chunk's name and first bytes. It returns the format of the samples, or how many bytes of the chunk are
    before them, or None.
    """

    begin: int
    chunks: Callable[[BinaryIO, int, int], Iterator[Chunk]]
    read: Callable[[bytes, bytes], SampleLayout | int | None]


def find_plain_samples(path: Path) -> PlainSamples | None:
    """Return where the plain samples of an AIFF, Wave64, CAF or AU file are; None for any other file."""
    with path.open("rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        head = file.read(24)
        if head[:4] == b".snd" and len(head) == 24:
            return _in_au(file, head, file_bytes)
        container = _container_of(head)
        return _in_chunks(file, container, file_bytes) if container else None


def _in_chunks(file: BinaryIO, container: Container, file_bytes: int) -> PlainSamples | None:
    form: SampleLayout | None = None
    for name, start, size in islice(container.chunks(file, container.begin, file_bytes), MAX_CHUNKS):
        file.seek(start)
        found = container.read(name, file.read(64)[: max(size, 8)])
        if isinstance(found, SampleLayout):
            form = found
        elif found is not None:
            if form is None or not form.is_plain() or start + found >= file_bytes:
                return None
            claimed = max(0, size - found)
            if not claimed and not all(
                _is_sound(file, place, file_bytes, container) for place in {start, start + found}
            ):
                # The file is empty.
                return None
            end = start + size
            if not claimed or (end > file_bytes and size >= LEAST_UNKNOWN_BYTES):
                return PlainSamples(form, start + found, 0, file_bytes, file_bytes)
            return PlainSamples(form, start + found, claimed, _true_end(file, end, file_bytes, container), file_bytes)
    return None


def _container_of(head: bytes) -> Container | None:
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return Container(12, _aiff_chunks, _read_aiff)
    if head[:4] == b"caff":
        return Container(8, _caf_chunks, _read_caf)
    return Container(40, _wave64_chunks, _read_wave64) if head[:16] == WAVE64_RIFF else None


def _true_end(file: BinaryIO, claimed_end: int, file_bytes: int, container: Container | None) -> int:
    """Return where the samples really end; `claimed_end` is what the header says."""
    goes_on = (
        file_bytes - claimed_end >= LEAST_MISSING_BYTES
        and not is_reserved(file, claimed_end)
        and _is_sound(file, claimed_end, file_bytes, container)
    )
    return file_bytes if goes_on else min(claimed_end, file_bytes)


def _is_sound(file: BinaryIO, position: int, file_bytes: int, container: Container | None) -> bool:
    """Return whether neither a tag nor chunks begin here, perhaps after padding."""
    if begins_with_known_name(file, position):
        return False
    return container is None or not _chunks_follow(file, container, position, file_bytes)


def _chunks_follow(file: BinaryIO, container: Container, end: int, file_bytes: int) -> bool:
    """Return whether chunks reach from the end of the samples to that of the file, perhaps after a byte of padding."""
    for place in {end, end + end % 2, end + -end % 8}:
        last = place
        for _, start, size in islice(container.chunks(file, place, file_bytes), MAX_CHUNKS):
            last = start + size
        if last > place and abs(last - file_bytes) <= LEAST_MISSING_BYTES:
            return True
    return False


def _in_au(file: BinaryIO, head: bytes, file_bytes: int) -> PlainSamples | None:
    start, claimed, kind, rate_hz, channels = struct.unpack_from(">5I", head, 4)
    form = SampleLayout(*AU_KINDS.get(kind, ("s", 0)), "be", channels, rate_hz)
    if not form.is_plain() or not 24 <= start < file_bytes:
        return None
    if not claimed or (claimed >= LEAST_UNKNOWN_BYTES and start + claimed > file_bytes):
        return PlainSamples(form, start, 0, file_bytes, file_bytes)
    end = _true_end(file, start + claimed, file_bytes, None)
    return PlainSamples(form, start, claimed, end, file_bytes, ffmpeg_reads_on=end < file_bytes)


def _aiff_chunks(file: BinaryIO, position: int, file_bytes: int) -> Iterator[Chunk]:
    while position + 8 <= file_bytes:
        file.seek(position)
        name, size = struct.unpack(">4sI", file.read(8))
        if not _is_name(name):
            return
        yield name, position + 8, size
        position += 8 + size + size % 2


def _read_aiff(name: bytes, content: bytes) -> SampleLayout | int | None:
    if name == b"SSND" and len(content) >= 8:
        return 8 + int(struct.unpack_from(">I", content)[0])
    if name != b"COMM" or len(content) < 18:
        return None
    channels, _, bits, exponent, mantissa = struct.unpack_from(">hIhHQ", content)
    if content[18:22] not in AIFC_KINDS:
        return None
    kind, order = AIFC_KINDS[content[18:22]]
    # Samples fill whole bytes. The rate is a float of 80 bits.
    return SampleLayout(kind, -bits // 8 * -8, order, channels, round(mantissa * 2.0 ** min(exponent - 16446, 900)))


def _caf_chunks(file: BinaryIO, position: int, file_bytes: int) -> Iterator[Chunk]:
    while position + 12 <= file_bytes:
        file.seek(position)
        name, size = struct.unpack(">4sq", file.read(12))
        if not _is_name(name):
            return
        yield name, position + 12, max(0, size)
        if size < 0:
            return
        position += 12 + size


def _read_caf(name: bytes, content: bytes) -> SampleLayout | int | None:
    if name == b"data":
        return 4
    if name != b"desc" or len(content) < 32 or content[8:12] != b"lpcm":
        return None
    rate_hz, flags, packet_bytes, _, channels, bits = struct.unpack_from(">d4x5I", content)
    if packet_bytes * 8 != channels * bits or not 0 < rate_hz <= MAX_RATE_HZ:
        return None
    return SampleLayout("f" if flags & 1 else "s", bits, "le" if flags & 2 else "be", channels, round(rate_hz))


def _wave64_chunks(file: BinaryIO, position: int, file_bytes: int) -> Iterator[Chunk]:
    while position + 24 <= file_bytes:
        file.seek(position)
        name, size = struct.unpack("<16sQ", file.read(24))
        if name[4:] != WAVE64_NAME:
            return
        yield name[:4], position + 24, max(0, size - 24)
        position += max(24, size + -size % 8)


def _read_wave64(name: bytes, content: bytes) -> SampleLayout | int | None:
    if name == b"data":
        return 0
    if name != b"fmt " or len(content) < 16:
        return None
    kind, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", content)
    if kind == EXTENSIBLE and len(content) >= 26:
        kind = struct.unpack_from("<H", content, 24)[0]
    if kind not in {1, 3} or frame_bytes * 8 != channels * bits:
        return None
    # Eight bits have no sign in this family.
    return SampleLayout("f" if kind == 3 else "s" if bits > 8 else "u", bits, "le", channels, rate_hz)


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name) and name.strip() != b""
