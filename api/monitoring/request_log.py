"""Gives every request an id, which its response and log lines carry, and logs it in one line.

A client's own X-Request-ID is used if it is well-formed, so that one id follows a request through several systems.
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
"""Key in the environ: when the request began, in monotonic seconds."""

_numbers = random.Random()  # noqa: S311 - request ids are not secrets

PROBE_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

VALID_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def register_request_log(app: Flask) -> None:
    """Give requests ids and log them. Register it first, since refusals contain the id."""

    @app.before_request
    def begin() -> None:
        given = request.environ.get(VARIABLE)
        request_id = given if given and VALID_ID.fullmatch(given) else f"{_numbers.getrandbits(64):016x}"
        g.request_id, request.environ[BEGAN_AT] = request_id, time.monotonic()
        bind_request(request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers.add(HEADER, g.request_id)
        method, status = request.method, response.status_code
        # Successful polls are too many to log, and probes get the result in the response.
        is_quiet = (status < 400 and method in {"GET", "HEAD"}) or request.path in PROBE_PATHS
        if not is_quiet or root.isEnabledFor(logging.DEBUG):
            milliseconds = round(1000 * (time.monotonic() - request.environ[BEGAN_AT]), 1)
            write = log.debug if is_quiet else log.info
            write("request", method=method, path=request.path, status=status, ms=milliseconds)
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        unbind_request()
