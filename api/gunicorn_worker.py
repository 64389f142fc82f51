"""gunicorn's threaded worker, whose own refusals are problem details too: of what is no HTTP, or too much of it.

Such a request never reaches the application, and gunicorn would answer it in HTML. Owns the form of these answers, and
that no thread waits for ever for a request (slow_heads.py) or for a client to read its answer, nor the whole process
for a client to hang up.
"""

from __future__ import annotations

import errno
import json
import secrets
import socket
import struct
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import structlog
from gunicorn.http import errors
from gunicorn.util import write_nonblock

from api.fair_worker import FairWorker
from api.slow_heads import SlowHeads

log = structlog.get_logger(__name__)

REFUSALS = (
    (errors.LimitRequestLine, 414, "uri_too_long", "The address is too long."),
    (errors.LimitRequestHeaders, 431, "headers_too_large", "The headers are too many or too long."),
    (errors.ExpectationFailed, 417, "expectation_failed", "The server does only what `Expect: 100-continue` asks."),
    (errors.ParseException, 400, "http_malformed", "The request is no well-formed HTTP."),
)
"""The answer to each error; of a class that is not listed, that to its nearest listed parent."""


UNREAD_SECONDS = 20
"""How long a client may take nothing of its answer; the kernel's buffers fill in some steps, of so long each. Raising
it lets links stall for longer, and idle clients hold threads."""

LINGER_SECONDS = 2.0
"""How long a client may take to hang up after its last answer; raising it lets such clients hold threads for longer."""

LINGER_BYTES = 64 * 1024
"""What a client may still send meanwhile; more is answered by a reset."""


class ProblemWorker(FairWorker):
    """The threaded worker with our form of errors, and an end to heads that do not come."""

    def init_process(self) -> None:
        """Begin to serve."""
        self.slow_heads = SlowHeads()
        self.slow_heads.start()
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """Read a request from a connection, and serve it."""
        bound_sending(conn.sock, UNREAD_SECONDS)
        with self.slow_heads.watch(conn.sock):
            is_kept = super().handle(conn)
        if not is_kept:
            _part(conn.sock)
        return is_kept

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep the connection or close it."""
        held = self.nr_conns
        super().finish_request(conn, fs)
        # gunicorn counts twice what was closed in mid-answer, and dealing would go by that for ever.
        self.nr_conns = max(self.nr_conns, held - 1)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose head is there."""
        self.slow_heads.arrived(conn.sock)
        if req.version == (1, 1) and not any(name == "HOST" for name, _ in req.headers):
            raise errors.InvalidHeader("Host")
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:
            log.info("the client reads no more of its answer", path=req.path)
            # As if it had gone, which gunicorn knows how to end.
            raise ConnectionResetError(errno.ECONNRESET, "The client does not read.") from error

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


def bound_sending(client: socket.socket, seconds: int) -> None:
    """Have the kernel give up sending when a client takes nothing for so long; it raises BlockingIOError then.

    A timeout of Python's own would end reading too, which has bounds of its own.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, 0))


def _part(client: socket.socket) -> None:
    """End what is sent, and wait until the client has read it and hangs up; so its kernel throws nothing away.

    gunicorn does this too, but in the loop in which all other clients of the process wait; here it finds nothing to do.
    """
    deadline, left = time.monotonic() + LINGER_SECONDS, LINGER_BYTES
    # Closed already, by the client or by gunicorn in mid-answer.
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        with suppress(TimeoutError):
            while left > 0 and (seconds := deadline - time.monotonic()) > 0:
                client.settimeout(seconds)
                piece = client.recv(4096)
                if not piece:
                    break
                left -= len(piece)
        client.shutdown(socket.SHUT_RD)


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
