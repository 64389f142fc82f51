"""Opens a job's objects as its record knows them: what lies under a key and is something else is never sent.

An object counts as the one recorded by its ETag. Where an operator has copied the bucket to another storage, large
objects have other ETags there: then the content decides, which is read once for it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import structlog

from api.contract.errors import OutputGoneError
from shared.errors import SourceMissingError
from shared.storage.object_storage import ObjectStorage, Opened

log = structlog.get_logger(__name__)

REMEMBERED = 10_000
"""Objects of another ETag and the right content that a process knows, at some 300 bytes each."""


@dataclass(frozen=True)
class Recorded:
    """An object as a job's record tells of it; what is None is not known."""

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
        """Open it for reading, whole or in an HTTP range."""
        with self._lock:
            etag = self._moved.get(wanted, wanted.etag)
        try:
            return self._open(wanted, etag, byte_range)
        except SourceMissingError:
            return self._open_moved(wanted, byte_range)

    def check(self, wanted: Recorded) -> None:
        """Raise OutputGoneError unless it is there, and is the one recorded."""
        with self._lock:
            etag = self._moved.get(wanted, wanted.etag)
        try:
            if etag in {None, self._storage.head(wanted.key, bucket=wanted.bucket)[1]}:
                return
        except SourceMissingError as error:
            raise _gone(wanted) from error
        self._open_moved(wanted, None).body.close()

    def _open(self, wanted: Recorded, etag: str | None, byte_range: str | None) -> Opened:
        opened = self._storage.open(wanted.key, bucket=wanted.bucket, byte_range=byte_range, etag=etag)
        if etag is not None and opened.etag != etag:
            # A storage that does not know If-Match.
            opened.body.close()
            raise SourceMissingError("The stored object was replaced.")
        return opened

    def _open_moved(self, wanted: Recorded, byte_range: str | None) -> Opened:
        if wanted.etag is None or not wanted.sha256:
            raise _gone(wanted)
        try:
            _, etag = self._storage.head(wanted.key, bucket=wanted.bucket)
            digest = hashlib.sha256()
            for chunk in self._open(wanted, etag, None).chunks():
                digest.update(chunk)
            if digest.hexdigest() != wanted.sha256:
                raise _gone(wanted)
            opened = self._open(wanted, etag, byte_range)
        except SourceMissingError as error:
            raise _gone(wanted) from error
        with self._lock:
            self._moved[wanted] = etag
            if len(self._moved) > REMEMBERED:
                self._moved.popitem(last=False)
        return opened


def _gone(wanted: Recorded) -> OutputGoneError:
    log.warning("a stored object is gone, or is not the one recorded", key=wanted.key, bucket=wanted.bucket)
    return OutputGoneError("The storage has this object no longer, or another in its place.")
