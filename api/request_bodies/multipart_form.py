"""Parses a multipart form and sends its one file to storage while it arrives.

It uses python-multipart's push parser: Werkzeug's decoder appends a stray carriage return to a file if a read ends
within the bytes that follow its boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from werkzeug.http import parse_options_header

from api.contract.errors import BodyMalformedError, FormTooLargeError
from api.request_bodies.body_stream import MAX_FORM_BYTES, Sink, check_size
from shared.errors import AudioEmptyError, FieldsInvalidError
from shared.storage.upload_stream import Stored

MAX_PARTS = 40
"""The most parts of a form; more than there are fields, so that a wrong field is reported by its name."""


@dataclass
class Form:
    """The fields of a form, and its one file once it is stored."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    stored: Stored | None = None


def receive_form(
    blocks: Iterator[bytes], boundary: str, open_upload: Callable[[], Sink], *, max_file_bytes: int
) -> Form:
    """Read a form and store its part `file` while it arrives. On any error the upload is aborted.

    Raises FieldsInvalidError, FormTooLargeError, UploadTooLargeError, AudioEmptyError, BodyMalformedError,
    StorageUnavailableError, and what the blocks raise.
    """
    with ExitStack() as stack:
        receiver = _Receiver(lambda: stack.enter_context(open_upload()), max_file_bytes)
        try:
            parser = receiver.parser(boundary)
            for block in _without_preamble(blocks, boundary.encode()):
                parser.write(block)
        except (FormParserError, UnicodeError) as error:
            raise BodyMalformedError("The body is not a valid multipart form.") from error
        return receiver.finish()


def _without_preamble(blocks: Iterator[bytes], boundary: bytes) -> Iterator[bytes]:
    """Skip the text before the first boundary, which RFC 2046 says to ignore and the parser does not know."""
    head, mark = b"\r\n", b"\r\n--" + boundary
    for block in blocks:
        head += block
        if (place := head.find(mark)) >= 0:
            yield head[place + 2 :]
            break
        if len(head) > MAX_FORM_BYTES + len(block):
            raise BodyMalformedError("The body contains no part with the boundary that its Content-Type names.")
    yield from blocks


class _Receiver:
    """Handles the parser's callbacks, and raises from them."""

    def __init__(self, open_upload: Callable[[], Sink], max_file_bytes: int) -> None:
        self._open_upload = open_upload
        self._max_file_bytes = max_file_bytes
        self._form = Form()
        self._upload: Sink | None = None
        self._header = b""
        self._value = b""
        self._headers: dict[str, str] = {}
        self._field: str | None = None
        self._text = bytearray()
        self._parts = self._form_bytes = 0
        self._ended = False

    def parser(self, boundary: str) -> MultipartParser:
        """Return a parser that calls this receiver."""
        return MultipartParser(
            boundary.encode(),
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._take_header,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def finish(self) -> Form:
        """Finish the upload and return the form."""
        if not self._ended:
            raise BodyMalformedError("The form ends before its closing boundary.")
        if self._upload is None:
            raise _field_error("file", "is missing: send the audio file in this field")
        if not self._upload.size_bytes:
            raise AudioEmptyError("The file is empty.")
        self._form.stored = self._upload.finish()
        return self._form

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise FormTooLargeError(f"The form has more than {MAX_PARTS} parts.")
        self._headers = {}

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.decode("ascii").lower()] = _text(self._value)
        self._header = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition"))
        name, filename = options.get("name"), options.get("filename")
        if not name:
            raise BodyMalformedError("A part of the form has no name.")
        if filename is None:
            self._begin_field(name)
        else:
            self._begin_file(name, filename)

    def _begin_file(self, name: str, filename: str) -> None:
        if name != "file":
            raise _field_error(name, "must not be a file; send the audio in the field `file`")
        if self._upload is not None:
            raise _field_error("file", "is given more than once; a job has one file")
        self._field = None
        # Browsers and HTTP libraries write a quote in a file name as %22, and escape nothing else.
        self._form.filename = filename.replace("%22", '"')
        self._upload = self._open_upload()

    def _begin_field(self, name: str) -> None:
        if name == "file":
            raise _field_error("file", "must be a file: its part has no file name")
        if name in self._form.fields:
            raise _field_error(name, "is given more than once")
        self._field = name

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._form_bytes += end - start
            if self._form_bytes > MAX_FORM_BYTES:
                raise FormTooLargeError(f"The form's fields are larger than {MAX_FORM_BYTES:,} bytes.")
            self._text += data[start:end]
        elif self._upload is not None:
            check_size(self._max_file_bytes, self._upload.size_bytes + end - start)
            self._upload.write(data[start:end])

    def _end_part(self) -> None:
        if self._field is not None:
            self._form.fields[self._field] = self._text.decode()
            self._text.clear()
            self._field = None

    def _end(self) -> None:
        self._ended = True


def _text(value: bytes) -> str:
    # File names are nearly always UTF-8; those of old systems are in other encodings.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _field_error(name: str, message: str) -> FieldsInvalidError:
    return FieldsInvalidError([{"field": name, "message": message}])
