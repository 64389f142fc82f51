"""Sends HTTP requests to addresses that clients name, within one deadline and never to a private network.

The address that was checked is the one that is connected to, at every redirect (public_addresses.py decides which are
public). The deadline covers name resolution, connecting, TLS, redirects, headers and body. The environment's proxies
and netrc are not used: a proxy would resolve the names itself.

Error messages must not map internal networks or their names. Clients only learn whether a host has a public address,
and what a server at a public address responds. A name that does not exist and a name with a private address get the
same error, and so do all kinds of failed connections. The logs contain the reason for operators.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore2
import httpx2
import structlog

from api.contract.errors import UrlFetchError, UrlRefusedError
from api.outgoing_http.guarded_sockets import Deadline, GuardedBackend
from api.outgoing_http.public_addresses import NotPublicError
from shared.settings import Settings

log = structlog.get_logger(__name__)

CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 10.0
"""The timeouts of connecting to one address, and of each TLS handshake, read and write."""

MAX_REDIRECTS = 3

REDIRECTS = frozenset({301, 302, 303, 307, 308})

USER_AGENT = "stemqueue"


@dataclass(frozen=True)
class Answer:
    """The status and headers of a response; `blocks` reads its body. `url` is the address after redirects."""

    status: int
    headers: httpx2.Headers
    url: httpx2.URL
    response: httpcore2.Response

    def blocks(self) -> Iterator[bytes]:
        """Yield the body as it arrives, without decoding it. Raises UrlFetchError, also at the deadline."""
        with outgoing_faults(self.url.host):
            yield from self.response.iter_stream()


def check_url(url: str) -> str:
    """Return the URL if it is a well-formed http or https URL. Its address is checked when it is requested.

    Raises UrlRefusedError.
    """
    _parse(url)
    return url


@contextmanager
def exchange(
    method: str,
    url: str,
    settings: Settings,
    *,
    seconds: float,
    headers: dict[str, str],
    body: bytes | None = None,
    max_redirects: int = 0,
) -> Iterator[Answer]:
    """Send a request and yield the response, whose body can be read within the context. All ends within `seconds`.

    Up to `max_redirects` redirects are followed, for requests without a body; with 0 a redirect is the response.
    Raises UrlRefusedError, UrlFetchError.
    """
    target, left = _parse(url), max_redirects
    backend = GuardedBackend(Deadline(seconds), loopback=settings.outgoing_to_loopback)
    with httpcore2.ConnectionPool(ssl_context=_certificates(), network_backend=backend) as connections:
        while True:
            with _sent(connections, _request(method, target, headers, body)) as response:
                answer = Answer(response.status, httpx2.Headers(response.headers), target, response)
                location = answer.headers.get("location") if answer.status in REDIRECTS and max_redirects else None
                if location is None:
                    yield answer
                    return
            # The body of a redirect is not read, since it may be endless.
            if not left:
                raise UrlRefusedError(f"The URL redirects more than {max_redirects} times.")
            left -= 1
            target = _redirected(target, location)


@contextmanager
def outgoing_faults(host: str) -> Iterator[None]:
    """Convert connection errors into UrlRefusedError or UrlFetchError, and log the reason."""
    try:
        yield
    except NotPublicError as error:
        log.info("outgoing request refused", host=host, reason=str(error))
        raise UrlRefusedError("The URL does not lead to a public address.") from error
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError) as error:
        log.info("outgoing request failed", host=host, reason=f"{type(error).__name__}: {error}")
        raise UrlFetchError("The URL's server did not respond completely in time.") from error


def _parse(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
        sound = parsed.scheme in {"http", "https"} and bool(parsed.host) and parsed.port != 0
    except (httpx2.InvalidURL, UnicodeError):
        sound = False
    if not sound or not url.isprintable() or parsed.userinfo:
        raise UrlRefusedError("The URL must begin with http:// or https:// and have a host and no user name.")
    return parsed


@contextmanager
def _sent(connections: httpcore2.ConnectionPool, request: httpcore2.Request) -> Iterator[httpcore2.Response]:
    with outgoing_faults(request.url.host.decode()):
        response = connections.handle_request(request)
    try:
        yield response
    finally:
        # Closes the connection if the body was not read.
        response.close()


def _request(method: str, target: httpx2.URL, headers: dict[str, str], body: bytes | None) -> httpcore2.Request:
    named = {"Host": target.netloc.decode(), "User-Agent": USER_AGENT, **headers}
    if body is not None:
        named["Content-Length"] = str(len(body))
    timeouts = {"connect": CONNECT_SECONDS, "read": SILENCE_SECONDS, "write": SILENCE_SECONDS}
    return httpcore2.Request(
        method,
        httpcore2.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path),
        headers=list(named.items()),
        content=body,
        extensions={"timeout": timeouts},
    )


def _redirected(target: httpx2.URL, location: str) -> httpx2.URL:
    try:
        return _parse(str(target.join(location)))
    except (httpx2.InvalidURL, UrlRefusedError) as error:
        raise UrlRefusedError("The URL redirects to something that is not a valid http or https URL.") from error


@functools.cache
def _certificates() -> ssl.SSLContext:
    # Cached, since loading the certificates takes about 20 ms.
    return httpx2.create_ssl_context(trust_env=False)
