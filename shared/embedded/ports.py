"""Whether TCP ports of 127.0.0.1 are free, and which are."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

# Below the range from which the kernel takes ports for outgoing connections (32768 upwards), and low enough
# that port + 10000 is a port too.
_LOWEST, _HIGHEST = 20_000, 32_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Like the servers: connections of a former run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def find_free(offsets: Sequence[int] = (0,)) -> int:
    """Return a port p such that p + offset is free for every offset. Another process may still be faster."""
    for _ in range(1000):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - no secret
        if all(is_free(port + offset) for offset in offsets):
            return port
    raise OSError("no free ports between 20000 and 32000")
