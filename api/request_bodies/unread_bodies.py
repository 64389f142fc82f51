"""Closes the connection after a request is refused whose body was not read.

The event loop then discards what the client still sends (api/server/connection_worker.py), so that the response reaches
a client that sends its whole body before it reads. Small bodies are read instead, and the connection is kept.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request

from api.request_bodies.body_stream import WAS_READ

SMALL_BYTES = 32 * 1024

BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""After these statuses the server does not even wait for a small body."""


def register_unread_bodies(app: Flask) -> None:
    """Close the connection after each error response to a request with a large unread body."""

    @app.after_request
    def close(response: Response) -> Response:
        if response.status_code >= HTTPStatus.BAD_REQUEST and _has_unread_body(request.environ, response):
            connection = request.environ.get("gunicorn.socket")
            if connection is not None:
                connection.close_after_answer()
        return response


def has_body(environ: dict[str, Any]) -> bool:
    """Return whether a request announces a body."""
    return environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ


def _has_unread_body(environ: dict[str, Any], response: Response) -> bool:
    if not has_body(environ) or environ.get(WAS_READ):
        return False
    length = environ.get("CONTENT_LENGTH") or ""
    return not length.isdigit() or int(length) > SMALL_BYTES or response.status_code in BUSY
