"""Reads request bodies as they arrive: in bounded memory, with a size limit, detecting clients that disconnect.

multipart_form.py parses forms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Protocol

from gunicorn.http.errors import ParseException
from werkzeug.wsgi import get_content_length

from api.contract.errors import (
    BodyIncompleteError,
    BodyMalformedError,
    BodyStalledError,
    FormTooLargeError,
    UploadTooLargeError,
)
from shared.errors import AudioEmptyError
from shared.storage.upload_stream import Stored

READ_BYTES = 256 * 1024
"""How many bytes of a body are read at once."""

WAS_READ = "stemqueue.body_was_read"
"""Key in the environ that is set once the body was read completely."""

MAX_FORM_BYTES = 256 * 1024
"""The largest size of a form without its file, and of a JSON body."""


def body_blocks(environ: dict[str, Any], *, max_file_bytes: int, form_bytes: int = 0) -> Iterator[bytes]:
    """Yield the body of a request: a file, possibly inside a form of up to `form_bytes` more.

    Raises UploadTooLargeError, at once if the Content-Length is too large; BodyIncompleteError, BodyMalformedError,
    BodyStalledError.
    """
    announced, received = get_content_length(environ), 0
    if announced is not None:
        check_size(max_file_bytes, announced - form_bytes)
    for block in _read(environ):
        received += len(block)
        check_size(max_file_bytes, received - form_bytes)
        yield block
    # gunicorn raises nothing when a client disconnects; the body just ends early.
    if announced is not None and received != announced:
        raise BodyIncompleteError("The body is shorter than its Content-Length.")


def check_size(max_bytes: int, size_bytes: int) -> None:
    """Raise UploadTooLargeError if the size exceeds the limit."""
    if size_bytes > max_bytes:
        raise UploadTooLargeError(f"The file is larger than this server's limit of {max_bytes:,} bytes.")


def read_small_body(environ: dict[str, Any], max_bytes: int = MAX_FORM_BYTES) -> bytes:
    """Return a body that fits into memory. Raises FormTooLargeError and what `body_blocks` raises."""
    try:
        return b"".join(body_blocks(environ, max_file_bytes=max_bytes))
    except UploadTooLargeError as error:
        raise FormTooLargeError(f"The body is larger than {max_bytes:,} bytes.") from error


class Sink(Protocol):
    """Where the bytes of a file are written: to storage, or only to a digest."""

    @property
    def size_bytes(self) -> int:
        """How many bytes were written."""

    def __enter__(self) -> Sink: ...

    def __exit__(self, *_: object) -> None: ...

    def write(self, block: bytes) -> int:
        """Write bytes."""

    def finish(self) -> Stored:
        """Finish writing and return what was stored."""


class DigestOnly:
    """Computes the digest of a file without storing it, to compare a repeated request with the first."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> DigestOnly:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, block: bytes) -> int:
        """Write bytes."""
        self.size_bytes += len(block)
        self._digest.update(block)
        return len(block)

    def finish(self) -> Stored:
        """Return the size and digest."""
        return Stored(key="", size_bytes=self.size_bytes, etag="", sha256=self._digest.hexdigest())


def store_body(blocks: Iterator[bytes], upload: Sink) -> Stored:
    """Store a body as one object. Raises AudioEmptyError, StorageUnavailableError and what the blocks raise."""
    with upload:
        for block in blocks:
            upload.write(block)
        if not upload.size_bytes:
            raise AudioEmptyError("The file is empty.")
        return upload.finish()


def _read(environ: dict[str, Any]) -> Iterator[bytes]:
    try:
        while block := environ["wsgi.input"].read(READ_BYTES):
            yield block
        environ[WAS_READ] = True
    except TimeoutError as error:
        raise BodyStalledError("The body arrived too slowly.") from error
    except OSError as error:
        raise BodyIncompleteError("The connection closed before the end of the body.") from error
    except ParseException as error:
        raise BodyMalformedError("The chunks of the body are malformed.") from error
