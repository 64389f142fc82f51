"""A network backend for httpcore2 that connects to public addresses only and enforces one deadline.

The timeouts of HTTP libraries apply to each read. A server that sends a byte now and then could keep a client waiting
for ever, so here each read also ends at the deadline of the whole exchange.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore2

from api.outgoing_http.public_addresses import public_addresses

LOOK_UP_SECONDS = 10.0
"""The timeout of name resolution. Raising it lets name servers that hang occupy threads for longer."""


class Deadline:
    """The moment by which an exchange must be finished."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def bound(self, seconds: float | None) -> float:
        """Return the seconds left, at most `seconds`. Raises httpcore2.ReadTimeout if none are left."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline of the exchange has passed")
        return left if seconds is None else min(left, seconds)


class GuardedBackend(httpcore2.NetworkBackend):
    """Opens the connections of one exchange. `loopback` allows connections to this machine.

    Connecting raises NotPublicError.
    """

    def __init__(self, deadline: Deadline, *, loopback: bool) -> None:
        self._deadline = deadline
        self._loopback = loopback

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that responds; `timeout` applies to each."""
        del local_address, socket_options
        fault: Exception = httpcore2.ConnectError(f"{host} has no address")
        seconds = self._deadline.bound(LOOK_UP_SECONDS)
        for address in public_addresses(host, port, seconds=seconds, loopback=self._loopback):
            try:
                # `address` is numeric, so no name is resolved again.
                return _Stream(socket.create_connection((address, port), self._deadline.bound(timeout)), self._deadline)
            except OSError as error:
                fault = error
        raise httpcore2.ConnectError(f"{host} cannot be connected to") from fault


class _Stream(httpcore2.NetworkStream):
    """A connection. Python's TLS sockets apply a timeout to a whole handshake or read, not to each record."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._socket = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(self._deadline.bound(timeout))
        return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = memoryview(buffer)
        while left:
            self._socket.settimeout(self._deadline.bound(timeout))
            try:
                left = left[self._socket.send(left) :]
            except OSError as error:
                # On a WriteError httpcore2 still reads the response.
                raise httpcore2.WriteError(str(error)) from error

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        self._socket.settimeout(self._deadline.bound(timeout))
        # Names in certificates have no trailing dot.
        name = server_hostname.rstrip(".") if server_hostname else None
        try:
            return _Stream(ssl_context.wrap_socket(self._socket, server_hostname=name), self._deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return self._socket if info == "socket" else None
