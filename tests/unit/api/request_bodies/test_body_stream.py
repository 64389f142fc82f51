"""Forms are read alike however the network cuts them, and never grow beyond their bounds."""

from __future__ import annotations

import hashlib
import io
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.errors import BodyIncompleteError, BodyMalformedError, UploadTooLargeError
from api.request_bodies.body_stream import body_blocks
from api.request_bodies.multipart_form import Form, receive_form
from shared.errors import AudioEmptyError, FieldsInvalidError
from shared.storage.upload_stream import Stored, UploadStream


class InMemory:
    """An upload that goes nowhere."""

    def __init__(self) -> None:
        self.content = b""
        self.aborted = False

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def __enter__(self) -> InMemory:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.aborted = kind is not None

    def write(self, block: bytes) -> int:
        self.content += block
        return len(block)

    def finish(self) -> Stored:
        return Stored("key", len(self.content), "etag", hashlib.sha256(self.content).hexdigest())


def receive(body: bytes, cuts: list[int], upload: InMemory, limit: int = 10_000) -> Form:
    edges = sorted({0, len(body), *(c % (len(body) + 1) for c in cuts)})
    blocks = (body[a:b] for a, b in pairwise(edges))
    return receive_form(blocks, "edge", lambda: cast(UploadStream, upload), max_file_bytes=limit)


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


@given(
    content=st.binary(min_size=1, max_size=300).filter(lambda b: b"--edge" not in b),
    value=st.text(max_size=50).filter(lambda t: "--edge" not in t),
    cuts=st.lists(st.integers(min_value=0), max_size=20),
    file_first=st.booleans(),
)
def test_however_a_form_is_cut_it_reads_the_same(content: bytes, value: str, cuts: list[int], file_first: bool) -> None:
    parts = [part("file", content, "a.wav"), part("preset", value.encode())]
    body = b"".join(parts if file_first else parts[::-1]) + b"--edge--\r\n"
    upload = InMemory()
    form = receive(body, cuts, upload)
    assert (form.fields, form.filename, upload.content) == ({"preset": value}, "a.wav", content)
    assert form.stored
    assert not upload.aborted


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (part("file", b"a", "a") + part("file", b"b", "b") + b"--edge--", FieldsInvalidError),
        (part("song", b"a", "a") + b"--edge--", FieldsInvalidError),
        (part("file", b"a") + b"--edge--", FieldsInvalidError),
        (part("preset", b"a") + part("preset", b"b") + b"--edge--", FieldsInvalidError),
        (part("preset", b"a") + b"--edge--", FieldsInvalidError),
        (part("file", b"", "a") + b"--edge--", AudioEmptyError),
        (part("file", b"x" * 10_001, "a") + b"--edge--", UploadTooLargeError),
        (part("file", b"whole", "a"), BodyMalformedError),
        (part("file", b"a", "a") + part("preset", b"\xff") + b"--edge--", BodyMalformedError),
        (b"--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n--edge--", BodyMalformedError),
    ],
)
def test_a_form_that_breaks_the_rules_is_refused_and_its_upload_taken_back(body: bytes, error: type[Exception]) -> None:
    upload = InMemory()
    with pytest.raises(error):
        receive(body, [], upload)
    assert upload.aborted or not upload.content


@given(preamble=st.binary(max_size=300).filter(lambda b: b"--edge" not in b), cuts=st.lists(st.integers(min_value=0)))
def test_what_stands_before_the_first_part_is_passed_over(preamble: bytes, cuts: list[int]) -> None:
    body = part("file", b"content", "a.wav") + b"--edge--\r\nand after the last"
    for before in (preamble + b"\r\n", b"\r\n", b""):
        upload = InMemory()
        assert receive(before + body, cuts, upload).filename == "a.wav"
        assert upload.content == b"content"


def test_a_preamble_without_end_is_refused() -> None:
    upload = InMemory()
    with pytest.raises(BodyMalformedError):
        receive_form(iter([b"x" * 100_000] * 20), "edge", lambda: cast(UploadStream, upload), max_file_bytes=10)
    assert not upload.content


@pytest.mark.parametrize(("encoding", "name"), [("utf-8", "Für Élise.wav"), ("latin-1", "Für Élise.wav")])
def test_a_file_name_may_come_in_an_old_encoding(encoding: str, name: str) -> None:
    body = part("file", b"content", "NAME").replace(b"NAME", name.encode(encoding)) + b"--edge--"
    assert receive(body, [], InMemory()).filename == name


def environ(body: bytes, announced: int | None) -> dict[str, Any]:
    length = {} if announced is None else {"CONTENT_LENGTH": str(announced)}
    return {"wsgi.input": io.BytesIO(body), **length}


def test_a_body_shorter_than_announced_is_noticed_at_its_end() -> None:
    blocks = body_blocks(environ(b"12345", 10), max_file_bytes=100)
    assert next(blocks) == b"12345"
    with pytest.raises(BodyIncompleteError):
        next(blocks)


@pytest.mark.parametrize("announced", [None, 11])
def test_a_body_beyond_the_limit_is_refused(announced: int | None) -> None:
    with pytest.raises(UploadTooLargeError):
        list(body_blocks(environ(b"x" * 11, announced), max_file_bytes=10))
    assert len(b"".join(body_blocks(environ(b"x" * 11, announced), max_file_bytes=10, form_bytes=1))) == 11
