"""Finds out which decoded samples of a Musepack file are the song: ffmpeg leaves the decoder's delay in the audio.

Sources: the specification of stream version 8 (trac.musepack.net), and libmpcdec, which skips the same samples.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

DECODER_DELAY = 481
"""Samples that a Musepack decoder gives before the first one of the song."""

MAX_PACKETS = 16


def read_musepack_span(path: Path, *, skip_bytes: int = 0) -> tuple[int, int | None] | None:
    """Return the first sample of the song, and the one after the last, None: all; None if it is no Musepack file.

    Of stream version 7, ffmpeg itself cuts the end off.
    """
    with path.open("rb") as file:
        file.seek(skip_bytes)
        magic = file.read(4)
        if magic == b"MPCK":
            return _read_version_8(file)
        return (DECODER_DELAY, None) if magic[:3] == b"MP+" else None


def _read_version_8(file: BinaryIO) -> tuple[int, int | None] | None:
    file_bytes = os.fstat(file.fileno()).st_size
    for _ in range(MAX_PACKETS):
        start, key = file.tell(), file.read(2)
        size = _read_number(file)
        if len(key) < 2 or size is None:
            return None
        if key == b"SH":
            # A checksum of four bytes, and the version of the stream.
            file.seek(5, 1)
            samples, silence = _read_number(file), _read_number(file)
            if samples is None or silence is None or silence > samples:
                return None
            # The count includes the silence, and may be missing.
            return DECODER_DELAY + silence, DECODER_DELAY + samples if samples else None
        if start + size >= file_bytes:
            # A size of 63 bits may lead to a place that a file cannot have.
            return None
        file.seek(start + size)
    return None


def _read_number(file: BinaryIO) -> int | None:
    """Return a number of seven bits in each byte, the highest first; None if it does not end."""
    value = 0
    for _ in range(9):
        byte = file.read(1)
        if not byte:
            return None
        value = value << 7 | byte[0] & 0x7F
        if not byte[0] & 0x80:
            return value
    return None
