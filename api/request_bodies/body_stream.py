"""Bodies of requests, read as they come: in bounded memory, under a byte limit, and noticing a client that goes away.

Owns the reading; what a form's parts are is multipart_form.py's to say.
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
"""How much of a body is read at once."""

WAS_READ = "stemqueue.body_was_read"
"""Key in the environ of a request whose body was read to its end."""

MAX_FORM_BYTES = 256 * 1024
"""What a form may hold beside its file, or a JSON body in all."""


def body_blocks(environ: dict[str, Any], *, max_file_bytes: int, form_bytes: int = 0) -> Iterator[bytes]:
    """Yield the body of a request: a file, and perhaps a form around it.

    Raises UploadTooLargeError, at once where the client announces the size; BodyIncompleteError, BodyStalledError.
    """
    announced, received = get_content_length(environ), 0
    if announced is not None:
        refuse_beyond(max_file_bytes, announced - form_bytes)
    for block in _read(environ):
        received += len(block)
        refuse_beyond(max_file_bytes, received - form_bytes)
        yield block
    # A client that goes away in mid-body raises nothing: the server just has no more bytes.
    if announced is not None and received != announced:
        raise BodyIncompleteError("The client sent less than it announced.")


def refuse_beyond(max_bytes: int, size_bytes: int) -> None:
    """Raise UploadTooLargeError if the size passes the limit."""
    if size_bytes > max_bytes:
        raise UploadTooLargeError(f"The file is larger than the {max_bytes:,} bytes that this server takes.")


def read_small_body(environ: dict[str, Any], max_bytes: int = MAX_FORM_BYTES) -> bytes:
    """Return a body that is meant for memory. Raises FormTooLargeError and what `body_blocks` raises."""
    try:
        return b"".join(body_blocks(environ, max_file_bytes=max_bytes))
    except UploadTooLargeError as error:
        raise FormTooLargeError(f"The body is larger than {max_bytes:,} bytes.") from error


class Sink(Protocol):
    """Where a file's bytes go: to storage, or nowhere."""

    @property
    def size_bytes(self) -> int:
        """How much has come."""

    def __enter__(self) -> Sink: ...

    def __exit__(self, *_: object) -> None: ...

    def write(self, block: bytes) -> int:
        """Take bytes."""

    def finish(self) -> Stored:
        """Tell what came, once it is where it goes."""


class DigestOnly:
    """Takes a file that was stored before, to see whether it is the same."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> DigestOnly:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, block: bytes) -> int:
        """Take bytes."""
        self.size_bytes += len(block)
        self._digest.update(block)
        return len(block)

    def finish(self) -> Stored:
        """Tell what came."""
        return Stored(key="", size_bytes=self.size_bytes, etag="", sha256=self._digest.hexdigest())


def store_body(blocks: Iterator[bytes], upload: Sink) -> Stored:
    """Store a raw body as one object. Raises AudioEmptyError, StorageUnavailableError and what the blocks raise."""
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
        raise BodyStalledError("The body came too slowly.") from error
    except OSError as error:
        raise BodyIncompleteError("The connection broke in mid-body.") from error
    except ParseException as error:
        raise BodyMalformedError("The body's chunks are no HTTP.") from error
