"""A mixture that lies somewhere on the web: fetched into storage as if the client had sent it.

Bounds the bytes of a fetch; api/outgoing_http/exchange.py bounds its time. It happens while the client waits for the
answer, so that a link that leads nowhere is an error of the request; and in the API, since workers have no way out of
their network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from api.contract.errors import UrlUnreachableError
from api.outgoing_http.exchange import MAX_REDIRECTS, Answer, exchange
from api.request_bodies.body_stream import refuse_beyond
from shared.jobs.options import clean_filename
from shared.settings import Settings

MAX_DIGITS = 18


@dataclass(frozen=True)
class Fetched:
    """An answer that is being read; `announced_bytes` is 0 where the server does not say."""

    filename: str
    announced_bytes: int
    blocks: Iterator[bytes]


@contextmanager
def fetching(url: str, settings: Settings) -> Iterator[Fetched]:
    """Follow a URL and give its body to be read within.

    Raises UrlRefusedError, UrlUnreachableError, UploadTooLargeError; the blocks raise them too.
    """
    # Compressed on the way it could grow without bound.
    headers = {"Accept-Encoding": "identity"}
    seconds = settings.url_source_seconds
    with exchange("GET", url, settings, seconds=seconds, headers=headers, max_redirects=MAX_REDIRECTS) as answer:
        if answer.status != HTTPStatus.OK:
            raise UrlUnreachableError(f"The URL's server answers {answer.status}.")
        announced = _announced_bytes(answer)
        refuse_beyond(settings.max_upload_bytes, announced)
        yield Fetched(clean_filename(answer.url.path), announced, _blocks(answer, settings.max_upload_bytes))


def _announced_bytes(answer: Answer) -> int:
    text = answer.headers.get("Content-Length", "")
    # It may say anything: digits of other scripts, more of them than a number may have.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0


def _blocks(answer: Answer, max_bytes: int) -> Iterator[bytes]:
    received = 0
    for block in answer.blocks():
        received += len(block)
        refuse_beyond(max_bytes, received)
        yield block
