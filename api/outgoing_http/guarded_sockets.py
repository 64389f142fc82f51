"""Sockets that only lead to public addresses and obey one deadline: a network backend for httpcore2.

The time-outs of HTTP libraries bound each read by itself. A server that sends a byte now and then keeps them waiting
for as long as it likes, so here each read has no more time than the whole exchange has left.
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
"""How long a name may take to resolve; raising it lets name servers that hang hold threads for longer."""


class Deadline:
    """A moment by which all has to be done."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def bound(self, seconds: float | None) -> float:
        """Return the seconds that are left, `seconds` at most. Raises httpcore2.ReadTimeout when there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline of the exchange has passed")
        return left if seconds is None else min(left, seconds)


class GuardedBackend(httpcore2.NetworkBackend):
    """Opens the connections of one exchange; `loopback` allows those to this machine itself.

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
        """Connect to the first address that answers; `timeout` is for each."""
        del local_address, socket_options
        fault: Exception = httpcore2.ConnectError(f"{host} has no address")
        seconds = self._deadline.bound(LOOK_UP_SECONDS)
        for address in public_addresses(host, port, seconds=seconds, loopback=self._loopback):
            try:
                # It is an address: nothing is looked up again.
                return _Stream(socket.create_connection((address, port), self._deadline.bound(timeout)), self._deadline)
            except OSError as error:
                fault = error
        raise httpcore2.ConnectError(f"{host} cannot be connected to") from fault


class _Stream(httpcore2.NetworkStream):
    """A connection; Python's TLS sockets use a time-out for the whole of a handshake or a read, not for each record."""

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
                # httpcore2 then reads what the server had to say.
                raise httpcore2.WriteError(str(error)) from error

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        self._socket.settimeout(self._deadline.bound(timeout))
        # Certificates have no dot at the end of a name.
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
