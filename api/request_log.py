"""Every request gets an id, which its answer and its log lines carry, and one line in the log.

Owns the id: a client's own is taken where it is harmless, so that one id follows a request through several systems.
"""

from __future__ import annotations

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request

from shared.logs import bind_request, unbind_request

log = structlog.get_logger(__name__)

HEADER = "X-Request-ID"

WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})

HARMLESS = re.compile(r"[A-Za-z0-9._-]{8,64}")


def register_request_log(app: Flask) -> None:
    """Number and log the application's requests. Register it first: what refuses a request needs its id."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get(HEADER, "")
        g.request_id = given if HARMLESS.fullmatch(given) else secrets.token_hex(8)
        g.began_at = time.monotonic()
        bind_request(g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers.add(HEADER, g.request_id)
        milliseconds = round(1000 * (time.monotonic() - g.began_at), 1)
        # Polls come by the thousand and say nothing when all is well; who watches the server's health hears the answer.
        is_poll = request.method in {"GET", "HEAD"} and response.status_code < 400
        write = log.debug if is_poll or request.path in WATCHED else log.info
        write("request", method=request.method, path=request.path, status=response.status_code, ms=milliseconds)
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        unbind_request()
