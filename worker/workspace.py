"""A run's scratch folder: made empty, held under a byte bound, removed at the end whatever happens.

Owns which files lie in it; knows nothing of what is in them.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ScratchFullError


class Workspace:
    """A folder of working files that together stay below `max_bytes`."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def path(self, name: str) -> Path:
        """Return where the working file of this name lies; it need not exist."""
        return self.folder / name

    def used_bytes(self) -> int:
        """Return how many bytes the working files hold now."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def free_bytes(self) -> int:
        """Return how many more bytes this run may write; never below zero."""
        return max(0, self.max_bytes - self.used_bytes())


@contextmanager
def open_workspace(folder: Path, *, max_bytes: int) -> Iterator[Workspace]:
    """Make the folder, hand it out, and remove it with all that is in it.

    Raises ScratchFullError in place of any `ENOSPC` or `EDQUOT` from within.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield Workspace(folder, max_bytes=max_bytes)
    except OSError as error:
        # EFBIG is what a file size limit of the process answers: the same shortage, by another name.
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise ScratchFullError("The worker's scratch disk is full.") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
