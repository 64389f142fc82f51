"""Writes a ZIP archive as a stream: nothing is stored on disk, and only one block is held in memory.

Entries are not compressed, since audio does not shrink, and have flat names.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.errors import StorageUnavailableError
from shared.parsing.file_names import UNSAFE_CHARACTERS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from shared.storage.opened_object import Opened


@dataclass(frozen=True)
class Entry:
    """One file of the archive; it is opened when the archive reaches it."""

    name: str
    size_bytes: int
    open: Callable[[], Opened]


def zip_chunks(entries: Iterable[Entry], changed_at: datetime) -> Iterator[bytes]:
    """Yield the archive. Raises if an object is missing or truncated, so that the client gets an incomplete archive."""
    outlet = _Outlet()
    moment = changed_at.astimezone(UTC)
    stamp = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            header = zipfile.ZipInfo(safe_name(entry.name), stamp)
            header.external_attr = 0o644 << 16
            # zipfile uses this size to decide whether the entry needs the ZIP64 format.
            header.file_size = entry.size_bytes
            written = 0
            with archive.open(header, "w") as file, closing(entry.open().chunks()) as chunks:
                for chunk in chunks:
                    written += file.write(chunk)
                    yield outlet.take_written()
            if written != entry.size_bytes:
                raise StorageUnavailableError("The storage closed a download before its end.")
            yield outlet.take_written()
    yield outlet.take_written()


def archive_bytes(entries: Iterable[Entry]) -> int:
    """Return the size of the archive that `zip_chunks` makes of these entries.

    Each entry has a local header, its content, a data descriptor and a record in the central directory (APPNOTE.TXT
    4.3); zipfile takes the ZIP64 forms where a size, an offset or a number does not fit.
    """
    offset = directory = count = 0
    for entry in entries:
        name = len(safe_name(entry.name).encode())
        # zipfile leaves 5 % for compression before it decides, although nothing is compressed here.
        is_large = entry.size_bytes * 1.05 > zipfile.ZIP64_LIMIT
        wide_values = 2 * (entry.size_bytes > zipfile.ZIP64_LIMIT) + (offset > zipfile.ZIP64_LIMIT)
        directory += 46 + name + (4 + 8 * wide_values if wide_values else 0)
        offset += 30 + name + (20 if is_large else 0) + entry.size_bytes + (24 if is_large else 16)
        count += 1
    is_zip64 = count > zipfile.ZIP_FILECOUNT_LIMIT or max(offset, directory) > zipfile.ZIP64_LIMIT
    return offset + directory + (76 if is_zip64 else 0) + 22


def safe_name(name: str) -> str:
    """Return a file name without folders and without a leading dot, so that it unpacks into the chosen folder."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".")
    return "".join(c for c in base if c.isprintable() and c not in UNSAFE_CHARACTERS) or "file"


class _Outlet(io.RawIOBase):
    """Buffers what zipfile writes until it is taken. It cannot seek, so zipfile writes the streaming format."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, block: ReadableBuffer, /) -> int:
        before = len(self._written)
        self._written += block
        return len(self._written) - before

    def take_written(self) -> bytes:
        """Return what was written since the last call."""
        taken = bytes(self._written)
        self._written.clear()
        return taken
