"""gunicorn's threaded worker, in which idle connections wait in the event loop instead of occupying a thread.

The loop reads the head of each request, and a thread takes the request once the head is complete. So a client that
sends nothing, or half a request, costs a file descriptor and no thread. The loop also reads what a client still sends
after its last response: closing at once would make the client's kernel discard that response.

When the connection table is full, the connection that has waited longest is closed to make room.
"""

from __future__ import annotations

import errno
import resource
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from api.server.paced_socket import PacedSocket

HEAD_SECONDS = 10.0
"""How long a new connection may be silent, and how long a request's head may take from its first byte."""

HEAD_BYTES = 32 * 1024
"""The longest head of a request. Each connection with a half-sent head can take this much memory."""

LINGER_SECONDS, LINGER_BYTES = 10.0, 128 << 20
"""How long, and how much, a client may send after its last response. A client that sends its whole body before it
reads sees an early error response only if the body ends within these limits."""

REST_SECONDS = 0.1
"""How long a thread waits for the small unread rest of a body, so that the connection can be reused."""

CHECK_SECONDS = 0.5
"""How often deadlines are checked."""

MAX_CONNECTIONS = 4000

SPARE_DESCRIPTORS = 128


@dataclass(eq=False)
class _Wait:
    """The state of a connection. `discards` is how many more bytes to discard; None while a head is read."""

    deadline: float
    head: bytearray = field(default_factory=bytearray)
    discards: int | None = None


class ConnectionWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The threaded worker whose threads only handle requests with a complete head."""

    least_rate = 1000.0
    """The lowest average rate of a client, in bytes per second: see PacedSocket."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[Any, _Wait] = {}
        self._next_check = 0.0

    def accept(self, listener: Any) -> None:
        """Accept a connection and wait for its first request."""
        if self.nr_conns + 1 >= self.worker_connections:
            self._make_room()
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._make_room()
            elif error.errno not in {errno.EAGAIN, errno.ECONNABORTED}:
                raise
            return
        self.nr_conns += 1
        connection = PacedSocket(client, self.least_rate)
        self._wait_for_input(TConn(self.cfg, connection, address, listener.getsockname()), _Wait(_after(HEAD_SECONDS)))

    def handle(self, conn: Any) -> Any:
        """Handle a request with a complete head, or refuse a head that is too large. Runs in a thread."""
        if not conn.head_is_complete:
            head = conn.parser.unreader.take_buffered()
            too_large = errors.LimitRequestHeaders("") if b"\r\n" in head else errors.LimitRequestLine(len(head))
            self.handle_error(None, conn.sock, conn.client, too_large)
            return False
        conn.sock.reset_credit()
        return super().handle(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Wait for the connection's next request, or for the client to disconnect."""
        if not fs.cancelled() and not fs.exception() and fs.result():
            # What the client sent before its response is already in the parser's buffer.
            wait = _Wait(_after(self.cfg.keepalive), bytearray(conn.parser.unreader.take_buffered()))
            self._wait_for_input(conn, wait)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The client disconnected, or gunicorn closed the connection during the response.
            self._close_connection(conn)
            return
        self._wait_for_input(conn, _Wait(_after(LINGER_SECONDS), discards=LINGER_BYTES))

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections whose deadline has passed; all of them if `force`."""
        now = time.monotonic()
        if now < self._next_check and not force:
            return
        self._next_check = now + CHECK_SECONDS
        for conn in [conn for conn, wait in self._waiting.items() if force or now > wait.deadline]:
            self._drop_waiting(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        for wait in self._waiting.values():
            wait.deadline = min(wait.deadline, deadline)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        if not keepalive:
            return False
        conn.sock.reset_credit(REST_SECONDS)
        return bool(conn.parser.finish_body(deadline=_after(REST_SECONDS)))

    def _wait_for_input(self, conn: Any, wait: _Wait) -> None:
        if not self.alive:
            wait.deadline = min(wait.deadline, _after(STOP_KEEPALIVE_LINGER))
        try:
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_readable, conn, wait))
        except (OSError, ValueError):
            # The socket was closed meanwhile, or the kernel cannot watch more. Other connections must not be affected.
            self._close_connection(conn)
            return
        self._waiting[conn] = wait
        if wait.head:
            self._serve_if_complete(conn, wait)

    def _on_readable(self, conn: Any, wait: _Wait, _: Any) -> None:
        if self._waiting.get(conn) is not wait:
            # It was closed to make room by an earlier event of the same round.
            return
        try:
            piece = conn.sock.recv_available(HEAD_BYTES if wait.discards is None else 8 * HEAD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._drop_waiting(conn)
        elif wait.discards is not None:
            wait.discards -= len(piece)
            if wait.discards < 0:
                self._drop_waiting(conn)
        else:
            if not wait.head:
                wait.deadline = _after(HEAD_SECONDS)
            wait.head += piece
            self._serve_if_complete(conn, wait)

    def _serve_if_complete(self, conn: Any, wait: _Wait) -> None:
        if wait.head.startswith((b"\r", b"\n")):
            # Empty lines before a request are ignored (RFC 9112, 2.2); they would look like the end of a head.
            wait.head = wait.head.lstrip(b"\r\n")
        conn.head_is_complete = b"\r\n\r\n" in wait.head
        if not conn.head_is_complete and len(wait.head) < HEAD_BYTES:
            return
        self._stop_waiting(conn)
        conn.init()
        conn.parser.unreader.unread(bytes(wait.head))
        self.enqueue_req(conn)

    def _make_room(self) -> None:
        if self._waiting:
            # The table is in order of waiting, longest first.
            self._drop_waiting(next(iter(self._waiting)))

    def _drop_waiting(self, conn: Any) -> None:
        self._stop_waiting(conn)
        self._close_connection(conn)

    def _stop_waiting(self, conn: Any) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.sock)

    def _close_connection(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


def connection_limit(threads: int) -> int:
    """Raise the process's limit of file descriptors if possible; return how many connections fit into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Each thread may have a connection to Redis and one to storage, besides that of its client.
    wanted = MAX_CONNECTIONS + 2 * threads + SPARE_DESCRIPTORS
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(threads + 8, min(MAX_CONNECTIONS, soft - 2 * threads - SPARE_DESCRIPTORS))


def _after(seconds: float) -> float:
    return time.monotonic() + seconds
