"""Downloads one file from one address into a part file, which a later call continues.

Proxies come from the environment. Certificates are checked. From https no redirect leads to plain http. The size is
known in advance, and nothing beyond it is read.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urljoin, urlsplit

from worker.model_setup.errors import ModelSetupError

SILENCE_SECONDS = 30.0
"""How long a server may send nothing."""

SLOWEST_BYTES, SLOWEST_SECONDS = 1_000_000, 60.0
"""A server that sends less than this in this time is too slow; the next address may be faster."""

MAX_REDIRECTS = 5
BLOCK_BYTES = 1 << 16

OnBytes = Callable[[int], None]
"""Called with how many bytes of the file there are."""


class ModelDownloadError(ModelSetupError):
    """An address does not give the file. The message is a clause that says why."""


def download(
    address: str,
    part: Path,
    size_bytes: int,
    on_bytes: OnBytes,
    *,
    silence_seconds: float = SILENCE_SECONDS,
    slowest_seconds: float = SLOWEST_SECONDS,
) -> bool:
    """Bring the part file to `size_bytes`, and return whether it was continued rather than begun.

    Raises ModelDownloadError; what has arrived then remains in the part file. Raises OSError if it cannot be written.
    """
    have = part.stat().st_size if part.exists() else 0
    if have > size_bytes:
        part.unlink()
        have = 0
    if have == size_bytes:
        return True
    request = urllib.request.Request(_allowed(address), headers={"User-Agent": "stemqueue-models"})  # noqa: S310 - checked
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _open(request, part, silence_seconds) as response:
        start = _start_of(response, have, size_bytes)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            blocks = _blocks(response, silence_seconds)
            _copy(blocks, file, (start, size_bytes), on_bytes, slowest_seconds)
    return start > 0


def _open(request: urllib.request.Request, part: Path, silence_seconds: float) -> http.client.HTTPResponse:
    """Return the answer to a request. Raises ModelDownloadError; a part file that is no part of the file is removed."""
    try:
        with _failures_told(silence_seconds):
            return cast(http.client.HTTPResponse, _opener().open(request, timeout=silence_seconds))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
        if 300 <= error.code < 400:
            raise ModelDownloadError(
                "it redirects in a circle, too often, or to an address that is not http or https"
            ) from error
        raise ModelDownloadError(f"it answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise ModelDownloadError(
            f"it cannot be reached: {getattr(error.reason, 'strerror', None) or error.reason}"
        ) from error


def _blocks(response: http.client.HTTPResponse, silence_seconds: float) -> Iterator[bytes]:
    """Yield what arrives. Raises ModelDownloadError if the connection breaks."""
    while True:
        with _failures_told(silence_seconds):
            block = response.read1(BLOCK_BYTES)
        if not block:
            return
        yield block


@contextmanager
def _failures_told(silence_seconds: float) -> Iterator[None]:
    """Raise ModelDownloadError for whatever ends a connection. The block must not write files: a full disk is no reason
    to try another address."""
    try:
        yield
    except urllib.error.URLError:
        raise
    except TimeoutError as error:
        raise ModelDownloadError(f"it sent nothing for {silence_seconds:g} s") from error
    except (http.client.HTTPException, OSError) as error:
        raise ModelDownloadError("the connection broke") from error


def _start_of(response: http.client.HTTPResponse, have: int, size_bytes: int) -> int:
    """Return at which byte of the file the answer begins.

    Raises ModelDownloadError if it is not a file of this size.
    """
    start = 0
    if response.status == http.client.PARTIAL_CONTENT:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ModelDownloadError("it sent a different byte range than the requested one")
        start = have
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ModelDownloadError("it sent the file with a Content-Encoding that was not requested")
    length = response.headers.get("Content-Length")
    if length is not None and (not length.isdecimal() or start + int(length) != size_bytes):
        raise ModelDownloadError(f"its file is not {size_bytes:,} bytes long")
    return start


def _copy(
    blocks: Iterable[bytes],
    file: IO[bytes],
    sizes: tuple[int, int],
    on_bytes: OnBytes,
    slowest_seconds: float,
) -> None:
    """Write blocks from the first of two sizes on until the file has the second. Raises ModelDownloadError."""
    start, size_bytes = sizes
    have, counted, since = start, start, time.monotonic()
    for block in blocks:
        if have + len(block) > size_bytes:
            file.truncate(0)
            raise ModelDownloadError(f"it sent more than {size_bytes:,} bytes")
        file.write(block)
        have += len(block)
        on_bytes(have)
        if (elapsed := time.monotonic() - since) > slowest_seconds:
            if have - counted < SLOWEST_BYTES:
                raise ModelDownloadError(f"it is too slow: {(have - counted) / elapsed / 1000:.1f} kB/s")
            counted, since = have, time.monotonic()
    if have < size_bytes:
        raise ModelDownloadError(f"the connection ended after {have:,} of {size_bytes:,} bytes")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, and none from https to plain http."""

    max_redirections = MAX_REDIRECTS
    max_repeats = 2

    def redirect_request(  # noqa: PLR0917 - as in the standard library
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        target = urljoin(req.full_url, newurl)
        if urlsplit(req.full_url).scheme == "https" and urlsplit(target).scheme != "https":
            raise ModelDownloadError("it redirects to an address without TLS")
        _allowed(target)
        request = super().redirect_request(req, fp, code, msg, cast(Any, headers), target)
        if request is not None and req.has_header("Range"):
            request.add_header("Range", str(req.get_header("Range")))
        return request


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SafeRedirects())


def _allowed(address: str) -> str:
    """Return an address if it is one of the web. Raises ModelDownloadError."""
    if urlsplit(address).scheme not in {"https", "http"}:
        raise ModelDownloadError("it is not a web address")
    return address
