"""Every request gets an id, which its answer and its log lines carry, and one line in the log.

Owns the id: a client's own is taken where it is harmless, so that one id follows a request through several systems.
"""

from __future__ import annotations

import logging
import random
import re
import time

import structlog
from flask import Flask, Response, g, request

from shared.logs import bind_request, unbind_request

log, root = structlog.get_logger(__name__), logging.getLogger()

HEADER, VARIABLE = "X-Request-ID", "HTTP_X_REQUEST_ID"

BEGAN_AT = "stemqueue.began_at"
"""Beside what the server tells of a request: when it began."""

_numbers = random.Random()  # noqa: S311 - ids are for finding lines in logs, and no secret

WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})

HARMLESS = re.compile(r"[A-Za-z0-9._-]{8,64}")


def register_request_log(app: Flask) -> None:
    """Number and log the application's requests. Register it first: what refuses a request needs its id."""

    @app.before_request
    def begin() -> None:
        given = request.environ.get(VARIABLE)
        request_id = given if given and HARMLESS.fullmatch(given) else f"{_numbers.getrandbits(64):016x}"
        g.request_id, request.environ[BEGAN_AT] = request_id, time.monotonic()
        bind_request(request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers.add(HEADER, g.request_id)
        method, status = request.method, response.status_code
        # Polls come by the thousand and say nothing when all is well; who watches the server's health hears the answer.
        is_quiet = (status < 400 and method in {"GET", "HEAD"}) or request.path in WATCHED
        if not is_quiet or root.isEnabledFor(logging.DEBUG):
            milliseconds = round(1000 * (time.monotonic() - request.environ[BEGAN_AT]), 1)
            write = log.debug if is_quiet else log.info
            write("request", method=method, path=request.path, status=status, ms=milliseconds)
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        unbind_request()
