"""Where a worker's jobs keep their files: a folder of its own, and the clearing of those that dead workers left.

Owns folders and locks; a lock lives as long as its process, however that ends. Workers that share a scratch folder
clear up after each other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

LOCK_NAME = ".lock"


class ScratchFolder:
    """`path` is the worker's own folder below the shared one; it is locked until `close`."""

    def __init__(self, shared_folder: Path, worker_id: str) -> None:
        self._shared_folder = shared_folder.resolve()
        self.path = self._shared_folder / worker_id
        self._lock = self._make()

    def _make(self) -> int:
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = self._lock_file(self.path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Between the two another worker may have taken it for a dead one's, and removed it.
            if os.fstat(lock).st_nlink:
                return lock
            os.close(lock)

    @staticmethod
    def _lock_file(folder: Path) -> int:
        return os.open(folder / LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)

    def sweep(self) -> list[str]:
        """Remove the folders of workers that are dead; return their names."""
        return [f.name for f in self._shared_folder.iterdir() if f != self.path and _remove_if_dead(f)]

    def close(self) -> None:
        """Remove the folder and let go of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_if_dead(folder: Path) -> bool:
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        # No worker's folder, or one that is being made or removed just now.
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(lock)
