"""A ZIP archive written while it is read: nothing is kept on disk, and one block in memory.

Owns the archive's form: entries stored as they are (audio does not get smaller), under flat names.
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

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from shared.storage.object_storage import Opened


@dataclass(frozen=True)
class Entry:
    """One file of the archive; it is opened when its turn comes."""

    name: str
    size_bytes: int
    open: Callable[[], Opened]


def zip_chunks(entries: Iterable[Entry], changed_at: datetime) -> Iterator[bytes]:
    """Yield the archive. An object that is gone or cut short raises, so that the reader sees no whole archive."""
    outlet = _Outlet()
    moment = changed_at.astimezone(UTC)
    stamp = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            header = zipfile.ZipInfo(safe_name(entry.name), stamp)
            header.external_attr = 0o644 << 16
            # By this it decides whether the entry needs the form for 4 GiB and more.
            header.file_size = entry.size_bytes
            written = 0
            with archive.open(header, "w") as file, closing(entry.open().chunks()) as chunks:
                for chunk in chunks:
                    written += file.write(chunk)
                    yield outlet.take()
            if written != entry.size_bytes:
                raise StorageUnavailableError("The storage ended a download early.")
            yield outlet.take()
    yield outlet.take()


def safe_name(name: str) -> str:
    """Return a name that unpacks into the folder it is unpacked in, as a file that shows."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".")
    return "".join(c for c in base if c.isprintable() and c not in '<>:"|?*') or "file"


class _Outlet(io.RawIOBase):
    """Holds what the archive has written until it is taken; cannot seek, and says so."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, block: ReadableBuffer, /) -> int:
        before = len(self._written)
        self._written += block
        return len(self._written) - before

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken
