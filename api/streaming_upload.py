"""Bodies of requests, read as they come: in bounded memory, under a byte limit, and noticing a client that goes away.

Owns the reading and the parsing of multipart forms; what a file's bytes are written to is the caller's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Event, Field, File, MultipartDecoder, NeedData
from werkzeug.wsgi import get_content_length

from api.errors import (
    BodyIncompleteError,
    BodyMalformedError,
    BodyStalledError,
    FieldsInvalidError,
    FormTooLargeError,
    UploadTooLargeError,
)
from shared.errors import AudioEmptyError
from shared.upload_stream import Stored, UploadStream

READ_BYTES = 256 * 1024
"""How much of a body is read at once."""

DECODER_BYTES = 2 * READ_BYTES
"""What the form's decoder may hold: what was read, and the start of a boundary from before."""

MAX_FORM_BYTES = 256 * 1024
"""What all fields of a form, or a JSON body, may hold; a file does not count."""

MAX_PARTS = 40

SILENCE_SECONDS = 60.0
"""How long a client may pause in mid-body; raising it lets slow links live, and idle ones hold a thread for longer."""


@dataclass
class Form:
    """A multipart form: its fields, and its one file once that is stored."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    stored: Stored | None = None


def body_blocks(environ: dict[str, Any], *, max_file_bytes: int, form_bytes: int = 0) -> Iterator[bytes]:
    """Yield the body of a request: a file, and perhaps a form around it.

    Raises UploadTooLargeError, at once where the client announces the size; BodyIncompleteError, BodyStalledError.
    """
    announced, received = get_content_length(environ), 0
    if announced is not None:
        _refuse_beyond(max_file_bytes, announced - form_bytes)
    for block in _read(environ):
        received += len(block)
        _refuse_beyond(max_file_bytes, received - form_bytes)
        yield block
    # A client that goes away in mid-body raises nothing: the server just has no more bytes.
    if announced is not None and received != announced:
        raise BodyIncompleteError("The client sent less than it announced.")


def _refuse_beyond(max_bytes: int, size_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise UploadTooLargeError(f"The file is larger than the {max_bytes:,} bytes that this server takes.")


def _read(environ: dict[str, Any]) -> Iterator[bytes]:
    connection: socket.socket | None = environ.get("gunicorn.socket")
    if connection:
        connection.settimeout(SILENCE_SECONDS)
    try:
        while block := environ["wsgi.input"].read(READ_BYTES):
            yield block
    except TimeoutError as error:
        raise BodyStalledError(f"Nothing came for {SILENCE_SECONDS:.0f} s.") from error
    except OSError as error:
        raise BodyIncompleteError("The connection broke in mid-body.") from error
    finally:
        if connection:
            connection.settimeout(None)


def read_small_body(environ: dict[str, Any]) -> bytes:
    """Return a body that is meant for memory. Raises FormTooLargeError and what `body_blocks` raises."""
    try:
        return b"".join(body_blocks(environ, max_file_bytes=MAX_FORM_BYTES))
    except UploadTooLargeError as error:
        raise FormTooLargeError(f"The body is larger than {MAX_FORM_BYTES} bytes.") from error


def store_body(blocks: Iterator[bytes], upload: UploadStream) -> Stored:
    """Store a raw body as one object. Raises AudioEmptyError, StorageUnavailableError and what the blocks raise."""
    with upload:
        for block in blocks:
            upload.write(block)
        if not upload.size_bytes:
            raise AudioEmptyError("The file is empty.")
        return upload.finish()


def receive_form(
    blocks: Iterator[bytes], boundary: str, open_upload: Callable[[], UploadStream], *, max_file_bytes: int
) -> Form:
    """Read a multipart form; its part `file` goes to storage while it comes in, and is taken back on any error.

    Raises FieldsInvalidError, FormTooLargeError, UploadTooLargeError, AudioEmptyError, BodyMalformedError,
    StorageUnavailableError, and what the blocks raise.
    """
    with ExitStack() as stack:
        receiver = _FormReceiver(lambda: stack.enter_context(open_upload()), max_file_bytes)
        try:
            for event in _events(blocks, MultipartDecoder(boundary.encode(), DECODER_BYTES, max_parts=MAX_PARTS)):
                receiver.take(event)
        except RequestEntityTooLarge as error:
            raise FormTooLargeError("The form has too many parts, or one with too long a head.") from error
        except ValueError as error:
            raise BodyMalformedError("The body is no well-formed multipart form.") from error
        return receiver.finish()


def _events(blocks: Iterator[bytes], decoder: MultipartDecoder) -> Iterator[Event]:
    for block in blocks:
        decoder.receive_data(block)
        while not isinstance(event := decoder.next_event(), NeedData):
            yield event
    decoder.receive_data(None)
    yield decoder.next_event()


class _FormReceiver:
    def __init__(self, open_upload: Callable[[], UploadStream], max_file_bytes: int) -> None:
        self._open_upload = open_upload
        self._max_file_bytes = max_file_bytes
        self._form = Form()
        self._upload: UploadStream | None = None
        self._field: str | None = None
        self._value = bytearray()
        self._form_bytes = 0

    def take(self, event: Event) -> None:
        """Take the next event of the decoder."""
        if isinstance(event, File):
            self._begin_file(event)
        elif isinstance(event, Field):
            self._begin_field(event.name)
        elif isinstance(event, Data):
            if self._field is None:
                self._write_file(event.data)
            else:
                self._write_field(event)

    def finish(self) -> Form:
        """Finish the upload and return the form."""
        if self._upload is None:
            raise _wrong("file", "is missing: the audio file, as multipart/form-data")
        if not self._upload.size_bytes:
            raise AudioEmptyError("The file is empty.")
        self._form.stored = self._upload.finish()
        return self._form

    def _begin_file(self, event: File) -> None:
        if event.name != "file":
            raise _wrong(event.name, "is no field for a file; the audio goes into `file`")
        if self._upload is not None:
            raise _wrong("file", "is there more than once; a job takes one file")
        self._field = None
        # Browsers and HTTP libraries write a quote in a file name as %22, and only that.
        self._form.filename = event.filename.replace("%22", '"')
        self._upload = self._open_upload()

    def _write_file(self, data: bytes) -> None:
        assert self._upload is not None  # noqa: S101 - data follows the head of its part
        _refuse_beyond(self._max_file_bytes, self._upload.size_bytes + len(data))
        self._upload.write(data)

    def _begin_field(self, name: str | None) -> None:
        if not name:
            raise BodyMalformedError("A part of the form has no name.")
        if name == "file":
            raise _wrong("file", "holds no file: its part has no file name")
        if name in self._form.fields:
            raise _wrong(name, "is there more than once")
        self._field = name

    def _write_field(self, event: Data) -> None:
        self._form_bytes += len(event.data)
        if self._form_bytes > MAX_FORM_BYTES:
            raise FormTooLargeError(f"The form's fields hold more than {MAX_FORM_BYTES} bytes.")
        self._value += event.data
        if not event.more_data:
            assert self._field is not None  # noqa: S101 - asked by the caller
            self._form.fields[self._field] = self._value.decode()
            self._value.clear()


def _wrong(name: str, message: str) -> FieldsInvalidError:
    return FieldsInvalidError([{"field": name, "message": message}])
