"""Where a worker's jobs keep their files: a folder of its own, and the clearing of those that dead workers left.

Owns folders and locks; a lock lives as long as its process, however that ends. Workers of one deployment may share a
scratch folder, and clear up after each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from shared.redis_address import RedisAddress
from shared.settings import Settings

LOCK_NAME = ".lock"


class ScratchFolderTakenError(ValueError):
    """A worker of another deployment works in the folder."""


def deployment_of(settings: Settings) -> str:
    """Return what the workers of one deployment have in common: a digest of their Redis and their prefix in it."""
    address = RedisAddress.parse(settings.redis_url)
    known = (sorted(address.hosts), address.database, settings.redis_sentinel_master, settings.redis_prefix)
    return hashlib.sha256(repr(known).encode()).hexdigest()


class ScratchFolder:
    """`path` is the worker's own folder below the shared one; it is locked until `close`.

    Its lock says whose `deployment` it is. Raises ScratchFolderTakenError where a worker of another one is at work.
    """

    def __init__(self, shared_folder: Path, worker_id: str, deployment: str) -> None:
        self._shared_folder = shared_folder.resolve()
        self.path = self._shared_folder / worker_id
        self._lock = self._make()
        # Ours first, then a look at the others': of two that start at once, one at least sees the other.
        os.write(self._lock, deployment.encode())
        if any(_is_anothers(f, deployment) for f in self._shared_folder.iterdir() if f != self.path):
            self.close()
            raise ScratchFolderTakenError(
                f"SCRATCH_FOLDER {self._shared_folder} is in use by a worker with another REDIS_URL or REDIS_PREFIX; "
                "give each deployment a folder of its own"
            )

    def _make(self) -> int:
        self._shared_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            # Other users of the machine have no business with songs, wherever they lie.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
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


def _is_anothers(folder: Path, deployment: str) -> bool:
    """Tell whether a live worker of another deployment holds the folder."""
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        # No worker's folder, or another user's, who cannot clear away ours.
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Empty: it is starting, and will see us; or it is of an earlier version.
        return os.read(lock, 64).decode() not in {"", deployment}
    else:
        return False
    finally:
        os.close(lock)


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
