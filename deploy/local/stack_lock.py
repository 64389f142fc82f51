"""One stack a clone: a lock that the kernel frees when its holder dies, and in it the URL of the one that runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.private_files import make_private_folder
from deploy.local.processes import ServiceStartError

_NAME = "stack.lock"


class AlreadyRunningError(Exception):
    """A stack of this clone runs already; `url` is its address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"a stack of this clone runs already at {url}")
        self.url = url


@contextmanager
def hold_stack_lock(state_folder: Path, url: str) -> Iterator[None]:
    """Be the one stack of this clone, and say where.

    Raises AlreadyRunningError; ServiceStartError where the folder cannot be had.
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
