"""Opens a job's stored objects only if they are the ones that its record names; a replaced object is never sent.

An object is the recorded one if its ETag matches. If an operator copied the bucket to another storage, large objects
have new ETags there; then the SHA-256 of the content decides, which is computed once per object and process.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import structlog

from api.contract.errors import OutputGoneError
from shared.errors import SourceMissingError
from shared.storage.object_storage import ObjectStorage
from shared.storage.opened_object import Opened

log = structlog.get_logger(__name__)

MAX_MOVED = 10_000
"""How many objects with a new ETag and the recorded content a process remembers, about 300 bytes each."""


@dataclass(frozen=True)
class Recorded:
    """An object as a job's record describes it; members that are not known are None."""

    key: str
    etag: str | None = None
    sha256: str | None = None
    bucket: str | None = None


class RecordedObjects:
    """Reads recorded objects. Every method may raise OutputGoneError, StorageUnavailableError."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self._lock = Lock()
        self._moved: OrderedDict[Recorded, str] = OrderedDict()

    def open(self, wanted: Recorded, byte_range: str | None = None) -> Opened:
        """Open an object for reading, whole or in an HTTP range."""
        with self._lock:
            etag = self._moved.get(wanted, wanted.etag)
        try:
            return self._open(wanted, etag, byte_range)
        except SourceMissingError:
            return self._open_moved(wanted, byte_range)

    def require_unchanged(self, wanted: Recorded) -> None:
        """Raise OutputGoneError unless the object exists and is the recorded one."""
        with self._lock:
            etag = self._moved.get(wanted, wanted.etag)
        try:
            if etag in {None, self._storage.head(wanted.key, bucket=wanted.bucket)[1]}:
                return
        except SourceMissingError as error:
            raise _missing(wanted) from error
        self._open_moved(wanted, None).body.close()

    def _open(self, wanted: Recorded, etag: str | None, byte_range: str | None) -> Opened:
        return self._storage.open(wanted.key, bucket=wanted.bucket, byte_range=byte_range, etag=etag)

    def _open_moved(self, wanted: Recorded, byte_range: str | None) -> Opened:
        if wanted.etag is None or not wanted.sha256:
            raise _missing(wanted)
        try:
            _, etag = self._storage.head(wanted.key, bucket=wanted.bucket)
            digest = hashlib.sha256()
            for chunk in self._open(wanted, etag, None).chunks():
                digest.update(chunk)
            if digest.hexdigest() != wanted.sha256:
                raise _missing(wanted)
            opened = self._open(wanted, etag, byte_range)
        except SourceMissingError as error:
            raise _missing(wanted) from error
        with self._lock:
            self._moved[wanted] = etag
            if len(self._moved) > MAX_MOVED:
                self._moved.popitem(last=False)
        return opened


def _missing(wanted: Recorded) -> OutputGoneError:
    log.warning("stored object missing or replaced", key=wanted.key, bucket=wanted.bucket)
    return OutputGoneError("The object is no longer in storage, or has been replaced there.")
