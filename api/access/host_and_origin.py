"""Who may talk to the API from where.

Owns the checks of Host and Origin, and what pages of named origins may do (CORS). A keyless API on loopback is open to
every program of the machine, but must not be to web pages: a multipart POST needs no preflight, and a name can be made
to resolve to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

from api.contract.errors import HostRefusedError, OriginRefusedError
from shared.settings import Settings, split_names

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?")
"""What the header Host may hold: a name or an address, and a port."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

PREFLIGHT: Mapping[str, str] = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, Range, "
    "X-Request-ID",
    "Access-Control-Max-Age": "600",
}

EXPOSED = (
    "Content-Disposition, Content-Range, ETag, Location, Preference-Applied, RateLimit, RateLimit-Policy, "
    "Retry-After, X-Request-ID"
)
"""What a page of another origin may read beside the body."""


def register_security(app: Flask, settings: Settings) -> None:
    """Check every request."""
    hosts = allowed_hosts(settings)
    origins = frozenset(split_names(settings.api_cors_origins))

    @app.before_request
    def check_sender() -> Response | None:
        environ = request.environ
        _check_host(environ, hosts)
        if origins and environ.get("HTTP_ORIGIN") in origins:
            is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
            return Response(status=204, headers=PREFLIGHT) if is_preflight else None
        _check_origin(environ)
        return None

    if origins:

        @app.after_request
        def allow_origin(response: Response) -> Response:
            _allow_origin(response.headers, origins)
            return response


def listens_on_loopback(settings: Settings) -> bool:
    """Return whether only this machine can reach the API."""
    if settings.public_name:
        return False
    address = settings.api_published_address or settings.api_host
    if address in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def allowed_hosts(settings: Settings) -> frozenset[str] | None:
    """Return the names that a request may call this server by; None where any will do."""
    names = (*split_names(settings.api_allowed_hosts), settings.public_name or "")
    named = frozenset(name.lower() for name in names if name)
    if listens_on_loopback(settings):
        return LOOPBACK_NAMES | named | {settings.api_published_address or settings.api_host}
    return named | LOOPBACK_NAMES if named else None


def _allow_origin(headers: Headers, origins: frozenset[str]) -> None:
    # Also without an Origin, or a cache would hand one page's answer to another.
    headers.add("Vary", "Origin")
    origin = request.headers.get("Origin", "")
    if origin in origins:
        # Never with credentials: there are no cookies, and a key is sent by hand.
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED


def _check_host(environ: WSGIEnvironment, hosts: frozenset[str] | None) -> None:
    name = _hostname(environ.get("HTTP_HOST") or request.host)
    if name is None or (hosts is not None and name not in hosts):
        raise HostRefusedError("This server does not go by that name; the setting API_ALLOWED_HOSTS can add it.")


@lru_cache(maxsize=64)
def _hostname(host: str) -> str | None:
    # A URL parser would also take what is no Host: `user@127.0.0.1`, or a path behind the name.
    return urlsplit(f"//{host}").hostname if HOST.fullmatch(host) else None


def _check_origin(environ: WSGIEnvironment) -> None:
    origin = environ.get("HTTP_ORIGIN")
    # Behind a proxy that ends TLS the scheme differs; the name and port cannot.
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise OriginRefusedError("Requests from pages of other sites are refused.")
    crosses = environ.get("HTTP_SEC_FETCH_SITE") in {"cross-site", "same-site"}
    if crosses and request.method not in SAFE_METHODS:
        raise OriginRefusedError("Requests from pages of other sites are refused.")
