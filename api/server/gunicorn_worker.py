"""gunicorn's threaded worker, whose own refusals are problem details too: of what is no HTTP, or too much of it.

Such a request never reaches the application, and gunicorn would answer it in HTML.
"""

from __future__ import annotations

import errno
import json
import secrets
import socket
from http import HTTPStatus
from typing import Any

import structlog
from gunicorn.http import errors
from gunicorn.util import write_nonblock

from api.server.connection_balancing import FairWorker
from api.server.paced_socket import ClientTooSlowError

log = structlog.get_logger(__name__)

REFUSALS = (
    (errors.LimitRequestLine, 414, "uri_too_long", "The address is too long."),
    (errors.LimitRequestHeaders, 431, "headers_too_large", "The headers are too many or too long."),
    (errors.ExpectationFailed, 417, "expectation_failed", "The server does only what `Expect: 100-continue` asks."),
    (errors.ParseException, 400, "http_malformed", "The request is no well-formed HTTP."),
)
"""The answer to each error; of a class that is not listed, that to its nearest listed parent."""


class ProblemWorker(FairWorker):
    """The threaded worker, with our form of errors."""

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose head is there."""
        if req.version == (1, 1) and not any(name == "HOST" for name, _ in req.headers):
            raise errors.InvalidHeader("Host")
        conn.sock.close_after_answer = req.force_close
        try:
            return super().handle_request(req, conn)
        except ClientTooSlowError as error:
            log.info("client too slow", path=req.path)
            # As if it had gone, which gunicorn knows how to end.
            raise ConnectionResetError(errno.ECONNRESET, "The client is too slow.") from error

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that could not be read; anything else is gunicorn's own matter."""
        is_ours = isinstance(exc, errors.InvalidResponseHeader | errors.InvalidResponseHeaderName)
        for kind, status, code, detail in REFUSALS:
            if isinstance(exc, kind) and not is_ours:
                request_id = secrets.token_hex(8)
                # Not what it says: that may be a header with a key in it.
                log.info("request not read", code=code, error=type(exc).__name__, request_id=request_id)
                _answer(client, status, code, detail, request_id)
                return
        super().handle_error(req, client, addr, exc)


def _answer(client: socket.socket, status: int, code: str, detail: str, request_id: str) -> None:
    phrase = HTTPStatus(status).phrase
    members = {"type": "about:blank", "title": phrase, "status": status, "detail": detail, "code": code}
    body = json.dumps({**members, "request_id": request_id}) + "\n"
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
    ]
    try:
        write_nonblock(client, "\r\n".join([*lines, "", body]).encode())
    except OSError:
        log.debug("the client did not wait for an answer", request_id=request_id)
