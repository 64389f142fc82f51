"""The scratch folder of a run: created empty, limited in size, and removed at the end whatever happens."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ScratchFullError


class Workspace:
    """A folder of working files, which together may have at most `max_bytes`."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def path(self, name: str) -> Path:
        """Return the path of the working file with this name. The file need not exist."""
        return self.folder / name

    def used_bytes(self) -> int:
        """Return how many bytes the working files have now."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def free_bytes(self) -> int:
        """Return how many more bytes this run may write; at least 0."""
        return max(0, self.max_bytes - self.used_bytes())


def is_disk_full(error: OSError) -> bool:
    """Return whether a call failed for lack of disk space: a full disk or quota, or the limit on the size of a file."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def open_workspace(folder: Path, *, max_bytes: int) -> Iterator[Workspace]:
    """Create the folder, and remove it with everything in it when the context ends.

    Raises ScratchFullError instead of an OSError from within that means a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield Workspace(folder, max_bytes=max_bytes)
    except OSError as error:
        if is_disk_full(error):
            # The name alone: clients see this, and the worker's folders are none of their business.
            name = Path(error.filename).name if isinstance(error.filename, str) else ""
            writing = f" {name} cannot be written." if name else ""
            raise ScratchFullError(f"The worker's scratch disk is full.{writing}") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
