"""A load generator that costs little beside what it measures: one thread, a few connections, one request each."""

from __future__ import annotations

import re
import selectors
import socket
import time
from dataclasses import dataclass

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What a server did under load."""

    requests: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Return the rate."""
        return self.requests / self.seconds


def load(port: int, path: str, *, seconds: float, connections: int = 8, headers: str = "") -> Load:
    """Ask again and again over kept connections. Raises AssertionError for any status but 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode()
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    received: dict[socket.socket, bytes] = dict.fromkeys(sockets, b"")
    for connection in sockets:
        selector.register(connection, selectors.EVENT_READ)
        connection.sendall(request)
    done, begun = 0, time.monotonic()
    while (now := time.monotonic()) - begun < seconds:
        for key, _ in selector.select(timeout=1.0):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            received[connection] += connection.recv(65_536)
            if _is_whole(received[connection]):
                received[connection] = b""
                done += 1
                connection.sendall(request)
    for connection in sockets:
        connection.close()
    selector.close()
    return Load(done, now - begun)


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    assert head.startswith(b"HTTP/1.1 200"), head
    length = LENGTH.search(head + b"\r\n")
    assert length, head
    return len(body) >= int(length[1])
