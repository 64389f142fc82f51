"""Reads files for uploads and writes downloads, with progress; downloads are verified before they appear."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

import httpx2

from api.client.errors import DownloadError
from api.client.models import OutputFile
from shared.audio.names import without_audio_extension
from shared.parsing.file_names import visible_name

OnBytes = Callable[[int, int], None]
"""Called with the bytes transferred so far and the total."""

CHUNK_BYTES = 256 * 1024

MAX_NAME_BYTES = 255


def with_progress(file: IO[bytes], size_bytes: int, on_bytes: OnBytes | None) -> IO[bytes]:
    """Return a file object that calls `on_bytes` at each read."""
    return cast("IO[bytes]", _FileWithProgress(file, size_bytes, on_bytes))


class _FileWithProgress:
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


def save_output(
    response: httpx2.Response, output: OutputFile, path: Path, on_bytes: OnBytes | None, partial_folder: Path
) -> None:
    """Write a streamed response to a file, which appears complete or not at all. Raises DownloadError, OSError.

    The incomplete file is in `partial_folder`, which must be on the same disk.
    """
    digest, done = hashlib.sha256(), 0
    partial = partial_folder / f".{secrets.token_hex(8)}.part"
    try:
        with partial.open("xb") as file:
            for chunk in response.iter_bytes(CHUNK_BYTES):
                done += len(chunk)
                if done > output.size_bytes:
                    # An answer without an end must not fill the disk.
                    raise DownloadError(f"{output.filename} arrived damaged: it is longer than announced.")
                file.write(chunk)
                digest.update(chunk)
                if on_bytes:
                    on_bytes(done, output.size_bytes)
            file.flush()
            # After a crash of the machine, a file must not exist without its content.
            os.fsync(file.fileno())
        if digest.hexdigest() != output.sha256:
            raise DownloadError(f"{output.filename} arrived damaged: its SHA-256 differs.")
        partial.replace(path)
    except OSError as error:
        # A full disk's error names no file, and nobody knows the incomplete one.
        error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def all_or_none(folder: Path, partial_folder: Path | None = None) -> Iterator[Path]:
    """Make a folder for files that belong together, and move them all to `folder` at the end.

    After an error `folder` has none of them, and is removed if it was created for them. The incomplete files are in
    `partial_folder`, which must be on the same disk; by default in `folder` itself, which may be a mount point.
    """
    created = [made for made in (folder, *folder.parents) if not made.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    beside = TemporaryDirectory(".partial", ".stemqueue-", partial_folder or folder, ignore_cleanup_errors=True)
    with ExitStack() as undo:
        undo.callback(_remove_empty, created)
        partial = Path(undo.enter_context(beside))
        try:
            yield partial
        except OSError as error:
            if error.filename and Path(str(error.filename)).parent == partial:
                error.filename = str(folder / Path(str(error.filename)).name)
            raise
        for file in sorted(partial.iterdir()):
            file.replace(folder / file.name)


def _remove_empty(folders: Iterable[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def name_of_download(filename: str) -> str:
    """Return the name of a file that a server sends: it chooses neither the folder nor a hidden or invisible name."""
    return visible_name(Path(filename).name).lstrip(".") or "output"


def free_folder(parent: Path, song: Path) -> Path:
    """Return a folder named after a song that has no files yet: with a number if there is one of another song."""
    name = without_audio_extension(song.name)
    if not name.strip("."):
        name = "song"
    folder, number = parent / name, 1
    while folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        number += 1
        ending = f" ({number})"
        shortened = os.fsdecode(os.fsencode(name)[: MAX_NAME_BYTES - len(ending)])
        folder = parent / (shortened + ending)
    return folder
