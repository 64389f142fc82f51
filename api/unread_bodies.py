"""What is left of a body once its request is answered: taken and thrown away, so that the answer reaches the client.

A server that closes a connection while the client still sends makes the client's kernel throw away what came back: the
client sees a reset, and not the 401, 413, 429 or 503 that says why. The answer goes out first; then the rest is read,
within bounds. gunicorn does the same for 64 KiB, and closes on what comes after our bounds.
"""

from __future__ import annotations

import socket
import time
from typing import Any

import structlog
from flask import Flask, Response, request

log = structlog.get_logger(__name__)

MAX_BYTES = 128 << 20
"""How much is taken in vain; raising it tells more of those who send far too much why they are refused."""

MAX_SECONDS = 10.0
"""How long a refused client may go on sending; raising it lets such clients hold threads for longer."""

READ_BYTES = 256 * 1024


def register_unread_bodies(app: Flask) -> None:
    """Have the rest of each body read after its answer."""

    @app.after_request
    def read_on(response: Response) -> Response:
        environ = request.environ
        if environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ:
            response.call_on_close(lambda: drain(environ))
        return response


def drain(environ: dict[str, Any]) -> None:
    """Read a body on to its end, within the bounds; what cannot be read is left."""
    connection: socket.socket | None = environ.get("gunicorn.socket")
    deadline, left = time.monotonic() + MAX_SECONDS, MAX_BYTES
    try:
        while left > 0 and (seconds := deadline - time.monotonic()) > 0:
            if connection:
                connection.settimeout(seconds)
            block = environ["wsgi.input"].read(min(READ_BYTES, left))
            if not block:
                return
            left -= len(block)
    except Exception as error:  # noqa: BLE001 - gunicorn has a class for each way in which a body is no HTTP
        # The client is gone, or stalls, or sends what is no HTTP: gunicorn closes the connection.
        log.debug("the rest of a body was not read", error=repr(error))
    finally:
        if connection:
            connection.settimeout(None)
