"""Downloads songs from the web to the machine that runs the catalog."""

from __future__ import annotations

from pathlib import Path

import httpx2

from api.client.errors import ClientError
from api.client.files import CHUNK_BYTES

SILENCE_SECONDS = 30.0
"""How long a web server may send nothing."""


class UrlUnreachableError(ClientError):
    """A song could not be downloaded from the web."""


def download_song(url: str, path: Path) -> None:
    """Write what a URL serves to a file. Raises UrlUnreachableError, OSError."""
    try:
        with (
            httpx2.Client(timeout=SILENCE_SECONDS, follow_redirects=True, max_redirects=5) as site,
            site.stream("GET", url) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise UrlUnreachableError(f"{url} answers {answer.status_code}.")
            _save_body(answer, path)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UrlUnreachableError(f"{url} cannot be fetched ({type(error).__name__}).") from error


def _save_body(answer: httpx2.Response, path: Path) -> None:
    with path.open("wb") as file:
        for block in answer.iter_bytes(CHUNK_BYTES):
            file.write(block)
