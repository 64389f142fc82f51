"""Allows one running stack per clone, with a file lock that the kernel releases when its holder dies.

The lock file contains the URL of the running stack.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.private_files import make_private_folder
from deploy.local.processes import ServiceStartError

_NAME = "stack.lock"


class AlreadyRunningError(Exception):
    """A stack of this clone is already running at `url`."""

    def __init__(self, url: str) -> None:
        super().__init__(f"a stack of this clone is already running at {url}")
        self.url = url


@contextmanager
def hold_stack_lock(state_folder: Path, url: str) -> Iterator[None]:
    """Hold the lock, and write the URL into it.

    Raises AlreadyRunningError, or ServiceStartError if the state folder cannot be used.
    """
    try:
        lock = (make_private_folder(state_folder) / _NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise ServiceStartError(f"the state folder {state_folder} cannot be used: {error.strerror}") from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunningError(file.read().strip()) from None
        file.truncate(0)
        file.write(url)
        file.flush()
        yield
