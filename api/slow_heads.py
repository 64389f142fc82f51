"""Connections whose request does not come: a thread reads each head, and a client that trickles could hold it for ever.

Owns how long a head may take. Bodies have bounds of their own (streaming_upload.py).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEAD_SECONDS = 10.0
"""How long a request line and its headers may take; raising it lets slower links in, and idle ones hold threads."""

LOOK_SECONDS = 1.0


class SlowHeads:
    """Ends the reading of heads that take too long. `start` it in the process that reads."""

    def __init__(self, seconds: float = HEAD_SECONDS) -> None:
        self._seconds = seconds
        self._deadlines: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="slow-heads", daemon=True).start()

    @contextmanager
    def watch(self, connection: socket.socket) -> Iterator[None]:
        """Bound what is read from a connection in this block, until `arrived`."""
        with self._lock:
            self._deadlines[connection] = time.monotonic() + self._seconds
        try:
            yield
        finally:
            self.arrived(connection)

    def arrived(self, connection: socket.socket) -> None:
        """Say that the head is there."""
        with self._lock:
            self._deadlines.pop(connection, None)

    def end_late(self) -> None:
        """End the reading of all that are late: to who waits for bytes, the client has gone."""
        now = time.monotonic()
        with self._lock:
            for connection, deadline in self._deadlines.items():
                if now > deadline:
                    # Under the lock, so that it is still this connection and no later one.
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            self.end_late()
