"""gunicorn's worker with problem details as its own error responses.

Requests that are not valid HTTP, or exceed gunicorn's limits, never reach the application; gunicorn would answer in
HTML.
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

from api.server.connection_balancing import BalancedWorker
from api.server.paced_socket import ClientTooSlowError

log = structlog.get_logger(__name__)

REFUSALS = (
    (errors.LimitRequestLine, 414, "uri_too_long", "The URL is too long."),
    (errors.LimitRequestHeaders, 431, "headers_too_large", "The headers are too many or too long."),
    (errors.ExpectationFailed, 417, "expectation_failed", "The only supported value of Expect is 100-continue."),
    (errors.ParseException, 400, "http_malformed", "The request is not valid HTTP."),
)
"""The response to each error class; other classes have the response of their nearest listed parent."""


class ProblemWorker(BalancedWorker):
    """The worker class that gunicorn runs: balanced connections, and errors as problem details."""

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Handle a request whose head is complete."""
        if req.version == (1, 1) and not any(name == "HOST" for name, _ in req.headers):
            raise errors.InvalidHeader("Host")
        conn.sock.close_after_answer = req.force_close
        try:
            return super().handle_request(req, conn)
        except ClientTooSlowError as error:
            log.info("client too slow", path=req.path)
            # gunicorn handles this as a client that disconnected.
            raise ConnectionResetError(errno.ECONNRESET, "The client is too slow.") from error

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Respond to a request that could not be read; leave other errors to gunicorn."""
        is_response_error = isinstance(exc, errors.InvalidResponseHeader | errors.InvalidResponseHeaderName)
        for kind, status, code, detail in REFUSALS:
            if isinstance(exc, kind) and not is_response_error:
                request_id = secrets.token_hex(8)
                # Without the error's message, which may contain a header with an API key.
                log.info("malformed request refused", code=code, error=type(exc).__name__, request_id=request_id)
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
        log.debug("client disconnected before the response", request_id=request_id)
