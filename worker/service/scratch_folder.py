"""A worker's own folder below the shared scratch folder. Also removes the folders of dead workers.

A worker holds a lock on its folder; the kernel releases it when the process ends, however it ends. Workers of one
deployment may share a scratch folder, and clean up after each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from shared.redis_address import RedisAddress
from shared.settings import Settings
from worker.jobs.unreturned_claims import FOLDER_NAME, has_unreturned

LOCK_NAME = ".lock"


class ScratchFolderTakenError(ValueError):
    """A worker of another deployment uses the scratch folder."""


def deployment_of(settings: Settings) -> str:
    """Return an id of the deployment: a digest of its Redis and of the key prefix there."""
    address = RedisAddress.parse(settings.redis_url)
    known = (sorted(address.hosts), address.database, settings.redis_sentinel_master, settings.redis_prefix)
    return hashlib.sha256(repr(known).encode()).hexdigest()


class ScratchFolder:
    """`path` is the worker's own folder below the shared one; it is locked until `close`.

    The lock file contains the deployment's id. Raises ScratchFolderTakenError if a live worker of another deployment
    uses the shared folder.
    """

    def __init__(self, shared_folder: Path, worker_id: str, deployment: str) -> None:
        self._shared_folder = shared_folder.resolve()
        self.path = self._shared_folder / worker_id
        self._lock = self._make_folder()
        # Write our id first, then look at the others: of two workers that start at once, at least one sees the other.
        os.write(self._lock, deployment.encode())
        if any(_is_of_other_deployment(f, deployment) for f in self._shared_folder.iterdir() if f != self.path):
            self.close()
            raise ScratchFolderTakenError(
                f"SCRATCH_FOLDER {self._shared_folder} is in use by a worker with another REDIS_URL or REDIS_PREFIX; "
                "give each deployment a folder of its own"
            )

    def _make_folder(self) -> int:
        self._shared_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            # Songs are private to this user, wherever the folder lies.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._lock_file(self.path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Between these two calls another worker may have taken the folder for a dead worker's and removed it.
            if os.fstat(lock).st_nlink:
                return lock
            os.close(lock)

    @staticmethod
    def _lock_file(folder: Path) -> int:
        return os.open(folder / LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)

    def sweep(self, before_removal: Callable[[Path], object] = lambda _: None) -> list[str]:
        """Remove the folders of dead workers; return their names.

        `before_removal` is called with each of these folders; if it raises, the folder stays.
        """
        others = (f for f in self._shared_folder.iterdir() if f != self.path)
        return [f.name for f in others if _remove_if_dead(f, before_removal)]

    def disk_usage(self) -> tuple[int, int] | None:
        """Return the free bytes and the size of the disk that the folder is on; None if the folder is gone."""
        try:
            usage = shutil.disk_usage(self._shared_folder)
        except OSError:
            return None
        return usage.free, usage.total

    def close(self) -> None:
        """Remove the folder and release its lock. If it has notes for the next worker, only these stay."""
        if has_unreturned(self.path):
            for entry in self.path.iterdir():
                if entry.name not in {LOCK_NAME, FOLDER_NAME}:
                    shutil.rmtree(entry, ignore_errors=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _is_of_other_deployment(folder: Path, deployment: str) -> bool:
    """Return whether a live worker of another deployment holds the folder."""
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        # Not a worker's folder, or that of another user, who cannot remove ours.
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # If it is empty, the worker is starting and will see our id, or it runs an earlier version.
        return os.read(lock, 64).decode() not in {"", deployment}
    else:
        return False
    finally:
        os.close(lock)


def _remove_if_dead(folder: Path, before_removal: Callable[[Path], object]) -> bool:
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        # Not a worker's folder, or one that is being made or removed at this moment.
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        before_removal(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(lock)
