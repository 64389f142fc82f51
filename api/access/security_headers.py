"""Adds the security headers of browsers to every response, among them the Content-Security-Policy.

It wraps the WSGI application, so that no response bypasses it and polls pay little for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EVERYWHERE = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)

NO_STORE = ("Cache-Control", "no-store")
"""For responses without a Cache-Control of their own."""

CSP = "Content-Security-Policy"

NO_DOCUMENT = (CSP, "default-src 'none'; frame-ancestors 'none'")
"""The policy of JSON, which `nosniff` keeps browsers from showing as a document."""

DOCUMENT = (
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
"""Headers that only apply to documents."""

JSON = frozenset({"application/json", "application/problem+json"})


class SecurityHeaders:
    """The WSGI application with security headers in every response."""

    def __init__(self, application: WSGIApplication, settings: Settings) -> None:
        self._application = application
        self._for_json = (*EVERYWHERE, NO_DOCUMENT)
        self._for_others = (*EVERYWHERE, (CSP, content_security_policy(settings)), *DOCUMENT)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request."""

        def start_with_headers(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            # Compared case-sensitively: all names are set by this application and Werkzeug.
            present = dict(headers)
            is_json = present.get("Content-Type", "application/json") in JSON
            added = self._for_json if is_json else self._for_others
            headers.extend(added)
            if "Cache-Control" not in present:
                headers.append(NO_STORE)
            return start_response(status, headers, *error)

        return self._application(environ, start_with_headers)


def content_security_policy(settings: Settings) -> str:
    """Return the policy of documents: no other hosts except the storage, no inline scripts or styles, no frames."""
    stems = ""
    if settings.s3_public_endpoint_url:
        parts = urlsplit(settings.s3_public_endpoint_url)
        stems = f" {parts.scheme}://{parts.netloc}"
    return "; ".join(
        [
            "default-src 'none'",
            # For slower playback. Firefox runs WebAssembly only where it may be compiled too, so a worker with a policy
            # of its own is not enough. It allows no script beside those of this server.
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self'",
            f"img-src 'self' data: blob:{stems}",
            f"connect-src 'self'{stems}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )
