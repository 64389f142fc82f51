"""Keeps the chunks of Broadcast WAV in WAV stems: `bext` with the time of the first sample, and `iXML`.

Editors place a recording on their timeline by them (EBU Tech 3285). They are appended to the finished stem.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from worker.audio_files.headers.riff_chunks import read_riff_chunks

# Where `bext` has the number of samples since midnight, in 64 bits, and its version, in 16.
TIME_REFERENCE_PLACE = 338
VERSION_PLACE = 346

# From version 2 on it has five measures of loudness. They are those of the mixture, so a stem gets "not measured".
LOUDNESS_PLACE, LOUDNESS_VERSION = 412, 2
NOT_MEASURED = struct.pack("<h", 0x7FFF) * 5

SAMPLES_SINCE_MIDNIGHT = rb"(<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_%s>)(\d+)(<)"


def keep_broadcast_chunks(source: Path, stems: Iterable[Path], *, rate_ratio: float, start_sample: int) -> None:
    """Append `bext` and `iXML` of a WAV source to WAV stems. Raises OSError.

    `start_sample` is where the stems begin in the source, at the stems' rate; `rate_ratio` is that rate divided by the
    rate of the source.
    """
    chunks = read_riff_chunks(source)
    kept = {name: data for name, data in (chunks.contents if chunks else {}).items() if name in {"bext", "iXML"}}
    if len(kept.get("bext", b"")) >= VERSION_PLACE + 2:
        kept["bext"] = _adapt_bext(kept["bext"], rate_ratio, start_sample)
    if "iXML" in kept and (start_sample or rate_ratio != 1):
        kept["iXML"] = _adapt_ixml(kept["iXML"], rate_ratio, start_sample)
    if not kept:
        return
    addition = b"".join(
        name.encode() + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in kept.items()
    )
    for stem in stems:
        append_chunks(stem, addition)


def _adapt_bext(data: bytes, rate_ratio: float, start_sample: int) -> bytes:
    changed = bytearray(data)
    reference = struct.unpack_from("<Q", changed, TIME_REFERENCE_PLACE)[0]
    struct.pack_into("<Q", changed, TIME_REFERENCE_PLACE, _moved(reference, rate_ratio, start_sample))
    version = struct.unpack_from("<H", changed, VERSION_PLACE)[0]
    if version >= LOUDNESS_VERSION and len(changed) >= LOUDNESS_PLACE + len(NOT_MEASURED):
        changed[LOUDNESS_PLACE : LOUDNESS_PLACE + len(NOT_MEASURED)] = NOT_MEASURED
    return bytes(changed)


def _adapt_ixml(data: bytes, rate_ratio: float, start_sample: int) -> bytes:
    """Return the XML with the time of the first sample, which it has in two halves of 32 bits."""
    high = re.search(SAMPLES_SINCE_MIDNIGHT % b"HI", data)
    low = re.search(SAMPLES_SINCE_MIDNIGHT % b"LO", data)
    if high is None or low is None or len(high[2]) > 10 or len(low[2]) > 10:
        return data
    moved = _moved(int(high[2]) << 32 | int(low[2]), rate_ratio, start_sample)
    for half, value in ((b"HI", moved >> 32), (b"LO", moved & 0xFFFFFFFF)):
        data = re.sub(SAMPLES_SINCE_MIDNIGHT % half, rb"\g<1>%d\g<3>" % value, data, count=1)
    return data


def _moved(reference: int, rate_ratio: float, start_sample: int) -> int:
    return (round(reference * rate_ratio) + start_sample) & 0xFFFF_FFFF_FFFF_FFFF


def append_chunks(path: Path, addition: bytes) -> None:
    """Append chunks to a WAV file, and count them in its size. Raises OSError."""
    with path.open("r+b") as file:
        head = file.read(28)
        end = file.seek(0, 2)
        addition = b"\0" * (end % 2) + addition
        file.write(addition)
        size = end + len(addition) - 8
        is_rf64 = head[:4] == b"RF64" and head[12:16] == b"ds64"
        file.seek(20 if is_rf64 else 4)
        file.write(struct.pack("<Q" if is_rf64 else "<I", size))
