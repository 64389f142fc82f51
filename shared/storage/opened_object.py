"""An object, or a range of it, while its bytes are read."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from shared.storage.connection import storage_faults

CHUNK_BYTES = 256 * 1024
"""How many bytes a download reads at once."""


class Body(Protocol):
    """A stream of an object's bytes."""

    def read(self, amt: int | None = None) -> bytes:
        """Return at most `amt` bytes; no bytes at the end."""

    def close(self) -> None:
        """Release the connection."""


@dataclass(frozen=True)
class Opened:
    """An open object, or a range of it."""

    body: Body
    length_bytes: int
    etag: str

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the bytes. Closes the connection at the end, or when the caller stops reading."""
        try:
            while chunk := self._read():
                yield chunk
        finally:
            self.body.close()

    def _read(self) -> bytes:
        with storage_faults():
            return self.body.read(CHUNK_BYTES)
