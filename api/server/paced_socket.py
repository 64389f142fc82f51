"""A client's connection with a minimum average rate, for reading and for writing.

A timeout per call does not stop a client that sends or reads one byte now and then. Here, time spent waiting for the
client uses up credit, and transferred bytes earn it back. Time that the server itself takes costs nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

GRACE_SECONDS = 30.0
"""The credit of a new request, and the maximum: the longest pause of a client. Raising it tolerates worse links, and
lets idle clients occupy a thread for longer."""


class ClientTooSlowError(TimeoutError):
    """The client sent or read below the minimum average rate."""


class PacedSocket(socket.socket):
    """A blocking socket whose `recv` and `sendall` raise ClientTooSlowError when the credit is used up."""

    def __init__(self, connection: socket.socket, bytes_per_second: float) -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self._rate = bytes_per_second
        self._credit = GRACE_SECONDS
        self.close_after_answer: Callable[[], None] = lambda: None

    def reset_credit(self, seconds: float = GRACE_SECONDS) -> None:
        """Reset the credit, as at the start of each request."""
        self._credit = seconds

    def recv_available(self, size: int) -> bytes:
        """Return bytes that have arrived. Raises BlockingIOError if there are none."""
        return super().recv(size, socket.MSG_DONTWAIT)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return the next bytes; empty at the end."""
        data = self._wait_for(super().recv, size, flags)
        self._earn(len(data))
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all data."""
        if self.gettimeout() == 0:
            super().sendall(data, flags)
            return
        left = memoryview(data)
        while left:
            sent = self._wait_for(super().send, left, flags)
            self._earn(sent)
            left = left[sent:]

    def _wait_for(self, call: Callable[..., T], what: Any, flags: int) -> T:
        try:
            return call(what, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self._credit <= 0:
                raise ClientTooSlowError("The client is too slow.") from None
        begun = time.monotonic()
        self.settimeout(self._credit)
        try:
            return call(what, flags)
        except TimeoutError:
            raise ClientTooSlowError("The client is too slow.") from None
        finally:
            self.settimeout(None)
            self._credit -= time.monotonic() - begun

    def _earn(self, size: int) -> None:
        self._credit = min(GRACE_SECONDS, self._credit + size / self._rate)
