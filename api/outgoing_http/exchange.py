"""Requests to addresses that clients name: the one way out, which reaches no private network and always ends.

The address that was checked is the one that is connected to, at every redirect (api/outgoing_http/public_addresses.py
decides which are public). One deadline covers a whole exchange: looking up names, connecting, TLS, redirects, head and
body. Proxies and netrc of the environment are not used: a proxy would do the resolving.

What clients may learn: whether a host has a public address, and what a server at a public address answers. They get
the same words for a name that does not exist and for one that has a private address, and the same for a connection
that is refused and one that breaks: answers must not map networks or their names. Logs tell operators the reason.
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

from api.contract.errors import UrlRefusedError, UrlUnreachableError
from api.outgoing_http.guarded_sockets import Deadline, GuardedBackend
from api.outgoing_http.public_addresses import NotPublicError
from shared.settings import Settings

log = structlog.get_logger(__name__)

CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 10.0
"""How long an address may take to answer a connection, TLS to be agreed on, and the other side to go on."""

MAX_REDIRECTS = 3

REDIRECTS = frozenset({301, 302, 303, 307, 308})

USER_AGENT = "stemqueue"


@dataclass(frozen=True)
class Answer:
    """The head of an answer, and the way to its body; `url` is where redirects led."""

    status: int
    headers: httpx2.Headers
    url: httpx2.URL
    response: httpcore2.Response

    def blocks(self) -> Iterator[bytes]:
        """Return the body as it comes, as it was sent. Raises UrlUnreachableError, also at the deadline."""
        with outgoing_faults(self.url.host):
            yield from self.response.iter_stream()


def check_url(url: str) -> str:
    """Return the URL if it could be one of the web's; where it leads is found out when it is followed.

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
    """Send a request and give its answer, whose body may be read within. All of it ends within `seconds`.

    A redirect is followed `max_redirects` times, which is for requests without a body; 0: it is the answer.
    Raises UrlRefusedError, UrlUnreachableError.
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
            # The body of a redirect is not read: it may be endless.
            if not left:
                raise UrlRefusedError(f"The URL redirects more than {max_redirects} times.")
            left -= 1
            target = _redirected(target, location)


@contextmanager
def outgoing_faults(host: str) -> Iterator[None]:
    """Turn what can go wrong with a host into UrlRefusedError or UrlUnreachableError."""
    try:
        yield
    except NotPublicError as error:
        log.info("outgoing request refused", host=host, reason=str(error))
        raise UrlRefusedError("The URL does not lead to a public address.") from error
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError) as error:
        log.info("outgoing request failed", host=host, reason=f"{type(error).__name__}: {error}")
        raise UrlUnreachableError("The URL's server gives no complete answer in time.") from error


def _parse(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
        sound = parsed.scheme in {"http", "https"} and bool(parsed.host) and parsed.port != 0
    except (httpx2.InvalidURL, UnicodeError):
        sound = False
    if not sound or not url.isprintable() or parsed.userinfo:
        raise UrlRefusedError("A URL begins with http:// or https://, has a host, and no user name in it.")
    return parsed


@contextmanager
def _sent(connections: httpcore2.ConnectionPool, request: httpcore2.Request) -> Iterator[httpcore2.Response]:
    with outgoing_faults(request.url.host.decode()):
        response = connections.handle_request(request)
    try:
        yield response
    finally:
        # Ends the connection if the body was not read.
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
        raise UrlRefusedError("The URL leads to something that is no web address.") from error


@functools.cache
def _certificates() -> ssl.SSLContext:
    # Of this process, since reading them takes some 20 ms.
    return httpx2.create_ssl_context(trust_env=False)
