"""Checks the headers Host and Origin, and answers CORS requests of allowed origins.

An API on loopback without keys is open to every program of the machine, but must not be open to web pages: a multipart
POST needs no CORS preflight, and a page can make a name resolve to 127.0.0.1 (DNS rebinding).
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
"""A valid Host header: a name or an address, optionally with a port."""

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
"""The response headers that pages of allowed origins may read."""


def register_host_and_origin(app: Flask, settings: Settings) -> None:
    """Check the Host and Origin of every request."""
    hosts = allowed_hosts(settings)
    origins = frozenset(split_names(settings.api_cors_origins))

    @app.before_request
    def check_host_and_origin() -> Response | None:
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
    """Return the host names that requests may use; None if any name is allowed."""
    names = (*split_names(settings.api_allowed_hosts), settings.public_name or "")
    named = frozenset(name.lower() for name in names if name)
    if listens_on_loopback(settings):
        return LOOPBACK_NAMES | named | {settings.api_published_address or settings.api_host}
    return named | LOOPBACK_NAMES if named else None


def _allow_origin(headers: Headers, origins: frozenset[str]) -> None:
    # Needed without an Origin header too, or a cache would serve one page's response to another.
    headers.add("Vary", "Origin")
    origin = request.headers.get("Origin", "")
    if origin in origins:
        # Never with credentials: there are no cookies, and pages set the Authorization header themselves.
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED


def _check_host(environ: WSGIEnvironment, hosts: frozenset[str] | None) -> None:
    name = _hostname(environ.get("HTTP_HOST") or request.host)
    if name is None or (hosts is not None and name not in hosts):
        raise HostRefusedError(
            "This server does not accept this Host header. Its setting API_ALLOWED_HOSTS can add the name."
        )


@lru_cache(maxsize=64)
def _hostname(host: str) -> str | None:
    # A URL parser alone would accept more than a Host: `user@127.0.0.1`, or a path after the name.
    return urlsplit(f"//{host}").hostname if HOST.fullmatch(host) else None


def _check_origin(environ: WSGIEnvironment) -> None:
    origin = environ.get("HTTP_ORIGIN")
    # Compared without the scheme, which differs behind a proxy that terminates TLS.
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise OriginRefusedError(
            "Requests from other sites' web pages are refused. The setting API_CORS_ORIGINS can allow an origin."
        )
    crosses = environ.get("HTTP_SEC_FETCH_SITE") in {"cross-site", "same-site"}
    if crosses and request.method not in SAFE_METHODS:
        raise OriginRefusedError(
            "Requests from other sites' web pages are refused. The setting API_CORS_ORIGINS can allow an origin."
        )
