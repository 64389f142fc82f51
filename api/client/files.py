"""Files on their way: told of while they are read, checked before they are there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import httpx

from api.client.errors import DownloadError
from api.client.models import OutputFile

OnBytes = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

CHUNK_BYTES = 256 * 1024


def watched(file: IO[bytes], size_bytes: int, on_bytes: OnBytes | None) -> IO[bytes]:
    """Return the file as one that tells how far it has been read."""
    return cast("IO[bytes]", _Watched(file, size_bytes, on_bytes))


class _Watched:
    def __init__(self, file: IO[bytes], size_bytes: int, on_bytes: OnBytes | None) -> None:
        self._file, self._size_bytes, self._on_bytes, self._done = file, size_bytes, on_bytes, 0

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._done += len(block)
        if self._on_bytes and block:
            self._on_bytes(self._done, self._size_bytes)
        return block

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(CHUNK_BYTES):
            yield block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


def save(response: httpx.Response, output: OutputFile, path: Path, on_bytes: OnBytes | None) -> None:
    """Write a streamed answer to a file, which is there whole or not at all. Raises DownloadError, OSError."""
    digest, done = hashlib.sha256(), 0
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in response.iter_bytes(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if on_bytes:
                    on_bytes(done, output.size_bytes)
        if digest.hexdigest() != output.sha256:
            raise DownloadError(f"{output.filename} arrived damaged: its SHA-256 differs.")
        # mkstemp lets nobody else read; a download is as any other new file.
        Path(partial).chmod(0o666 & ~_umask())
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
