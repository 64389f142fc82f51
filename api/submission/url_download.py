"""Downloads a mixture from a URL into storage, as if the client had uploaded it.

It bounds the size; api/outgoing_http/exchange.py bounds the time and allows public addresses only. The download happens
while the client waits, so that a bad URL is an error of the request. It runs in the API because workers have no access
to other networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from api.contract.errors import UrlFetchError
from api.outgoing_http.exchange import MAX_REDIRECTS, Answer, exchange
from api.request_bodies.body_stream import check_size
from shared.parsing.file_names import clean_filename
from shared.settings import Settings

MAX_DIGITS = 18


@dataclass(frozen=True)
class Download:
    """A download in progress; `announced_bytes` is 0 if the server does not send a length."""

    filename: str
    announced_bytes: int
    blocks: Iterator[bytes]


@contextmanager
def open_url(url: str, settings: Settings) -> Iterator[Download]:
    """Open a URL; its body can be read within the context.

    Raises UrlRefusedError, UrlFetchError, UploadTooLargeError; the blocks raise them too.
    """
    # A compressed body could expand without bound.
    headers = {"Accept-Encoding": "identity"}
    seconds = settings.url_source_seconds
    with exchange("GET", url, settings, seconds=seconds, headers=headers, max_redirects=MAX_REDIRECTS) as answer:
        if answer.status != HTTPStatus.OK:
            raise UrlFetchError(f"The URL's server responded with status {answer.status}.")
        announced = _announced_bytes(answer)
        check_size(settings.max_upload_bytes, announced)
        yield Download(clean_filename(answer.url.path), announced, _blocks(answer, settings.max_upload_bytes))


def _announced_bytes(answer: Answer) -> int:
    text = answer.headers.get("Content-Length", "")
    # The header may contain anything, such as digits of other scripts or too many of them.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0


def _blocks(answer: Answer, max_bytes: int) -> Iterator[bytes]:
    received = 0
    for block in answer.blocks():
        received += len(block)
        check_size(max_bytes, received)
        yield block
