"""Recognises audio that cannot be decoded because it is encrypted."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from worker.audio_files.headers.probe_log import LoggedFile

ENCRYPTED_CODEC_TAGS = {"drms", "enca", "aavd", "aaxd"}
"""How MP4 names encrypted samples: FairPlay, Common Encryption, Audible."""

# What ffmpeg's demuxers of ASF and others log. Such lines begin with the demuxer's name; tags are indented in the log,
# and may say anything.
SAID_SO = re.compile(
    r"^\[[^\]\n]* @ 0x[0-9a-f]+\].*(?:DRM protected|is encrypted|Incorrect decryption|[Dd]igital signature detected)",
    re.MULTILINE,
)

MAX_MOOV_BYTES = 64 << 20
MAX_BOXES = 1000


def is_encrypted(path: Path, log: str, found: LoggedFile) -> bool:
    """Return whether all audio of a file is encrypted. The log may have been cut off."""
    if SAID_SO.search(log):
        return True
    if not found.audio or not found.container.startswith("mov"):
        return False
    named = [stream.codec_tag in ENCRYPTED_CODEC_TAGS for stream in found.audio]
    # ffmpeg shows the original codec of samples under Common Encryption, so the file itself must be asked.
    return all(named) or _encrypted_entries(path) >= len(found.audio)


def _encrypted_entries(path: Path) -> int:
    """Return how many sample descriptions of an MP4 file are encrypted audio."""
    moov = _read_moov(path)
    return sum(
        moov[place.end() + 12 : place.end() + 16].decode("latin-1") in ENCRYPTED_CODEC_TAGS
        for place in re.finditer(b"stsd", moov)
    )


def _read_moov(path: Path) -> bytes:
    """Return the box `moov` of an MP4 file, which describes its tracks; empty if it is missing or absurdly large."""
    with path.open("rb") as file:
        file_bytes, position = os.fstat(file.fileno()).st_size, 0
        for _ in range(MAX_BOXES):
            # Sizes of 64 bits may lead to places that a file cannot have.
            if position >= file_bytes:
                return b""
            file.seek(position)
            header = file.read(16)
            if len(header) < 8:
                return b""
            size, kind = struct.unpack(">I4s", header[:8])
            if size == 1 and len(header) == 16:
                size = int.from_bytes(header[8:], "big")
            size = size or file_bytes - position
            if kind == b"moov":
                file.seek(position)
                return file.read(min(size, MAX_MOOV_BYTES))
            if size < 8:
                return b""
            position += size
    return b""
