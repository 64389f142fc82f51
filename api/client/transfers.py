"""Files on their way: uploads that tell how far they are, downloads that are checked and there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx

from api.client.errors import DownloadError
from api.client.models import OutputFile

OnBytes = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

CHUNK_BYTES = 256 * 1024


class WatchedFile:
    """A file that tells how far it has been read."""

    def __init__(self, file: IO[bytes], size_bytes: int, on_bytes: OnBytes | None) -> None:
        self._file, self._size_bytes, self._on_bytes, self._done = file, size_bytes, on_bytes, 0

    def read(self, size: int = -1) -> bytes:
        """Read, and tell."""
        block = self._file.read(size)
        self._done += len(block)
        if self._on_bytes and block:
            self._on_bytes(self._done, self._size_bytes)
        return block

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(CHUNK_BYTES):
            yield block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere; what has been told stays told."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return where the file stands."""
        return self._file.tell()

    def fileno(self) -> int:
        """Return the file's number, by which its size is found."""
        return self._file.fileno()


def download(
    http: httpx.Client, output: OutputFile, path: Path, on_bytes: OnBytes | None, *, partial_folder: Path | None = None
) -> httpx.Response:
    """Write an output to a file; return the answer, which is no success where it has no output.

    What has come lies in `partial_folder`, the file's own otherwise, until it is whole. Raises DownloadError.
    """
    digest, done = hashlib.sha256(), 0
    with http.stream("GET", output.url, follow_redirects=True) as response:
        if response.status_code != httpx.codes.OK:
            response.read()
            return response
        partial = (partial_folder or path.parent) / f".{secrets.token_hex(8)}.part"
        try:
            with partial.open("xb") as file:
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if on_bytes:
                        on_bytes(done, output.size_bytes)
                file.flush()
                # A name must not outlive the power longer than what it stands for.
                os.fsync(file.fileno())
            if digest.hexdigest() != output.sha256:
                raise DownloadError(f"{output.filename} arrived damaged: its SHA-256 differs.")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return response
