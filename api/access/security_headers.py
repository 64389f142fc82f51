"""What browsers are told to forbid themselves, in every answer.

Owns the headers and the policy of content. A layer around the application and no hook in it, so that no answer gets by
it, and that polls, which come by the thousand, hardly feel it.
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
"""For answers that say nothing else of caches."""

NO_DOCUMENT = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
"""The policy of JSON, which nosniff keeps from being a document."""

DOCUMENT = (
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
"""What only documents heed."""

JSON = frozenset({"application/json", "application/problem+json"})


class SecurityHeaders:
    """The application, each of whose answers is marked."""

    def __init__(self, application: WSGIApplication, settings: Settings) -> None:
        self._application = application
        self._for_json = (*EVERYWHERE, NO_DOCUMENT)
        self._for_others = (*EVERYWHERE, ("Content-Security-Policy", content_security_policy(settings)), *DOCUMENT)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""

        def start_marked(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            # Names come as this application and werkzeug spell them.
            present = dict(headers)
            is_json = present.get("Content-Type", "application/json") in JSON
            headers.extend(self._for_json if is_json else self._for_others)
            if "Cache-Control" not in present:
                headers.append(NO_STORE)
            return start_response(status, headers, *error)

        return self._application(environ, start_marked)


def content_security_policy(settings: Settings) -> str:
    """Return the policy of documents: nothing from elsewhere, no inline script or style, no frames."""
    stems = ""
    if settings.s3_public_endpoint_url:
        parts = urlsplit(settings.s3_public_endpoint_url)
        stems = f" {parts.scheme}://{parts.netloc}"
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: blob:{stems}",
            f"connect-src 'self'{stems}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )
