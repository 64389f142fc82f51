"""A mixture that lies somewhere on the web: fetched into storage as if the client had sent it.

Owns the bounds of a fetch: bytes, time, redirects. It happens while the client waits for the answer, so that a link
that leads nowhere is an error of the request; and in the API, since workers have no way out of their network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import requests

from api.errors import UrlUnreachableError
from api.outgoing import check_url, open_session, outgoing_faults
from api.streaming_upload import READ_BYTES, refuse_beyond
from shared.job_options import clean_filename
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
    deadline = time.monotonic() + settings.url_source_seconds
    with open_session(settings, redirects=True) as session:
        with outgoing_faults():
            # Compressed on the way it could grow without bound.
            response = session.get(check_url(url), stream=True, headers={"Accept-Encoding": "identity"})
        with response:
            if response.status_code != requests.codes.ok:
                raise UrlUnreachableError(f"The URL's server answers {response.status_code}.")
            announced = _announced_bytes(response)
            refuse_beyond(settings.max_upload_bytes, announced)
            yield Fetched(
                clean_filename(unquote(urlsplit(response.url).path)),
                announced,
                _blocks(response, settings.max_upload_bytes, deadline),
            )


def _announced_bytes(response: requests.Response) -> int:
    text = response.headers.get("Content-Length", "")
    # It may say anything: digits of other scripts, more of them than a number may have.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0


def _blocks(response: requests.Response, max_bytes: int, deadline: float) -> Iterator[bytes]:
    received = 0
    while True:
        with outgoing_faults():
            # One piece as it comes: a server that drips must not keep this from looking at the clock.
            block: bytes = response.raw.read1(READ_BYTES, decode_content=False)
        if not block:
            return
        received += len(block)
        refuse_beyond(max_bytes, received)
        if time.monotonic() > deadline:
            raise UrlUnreachableError("The URL's server takes too long.")
        yield block
