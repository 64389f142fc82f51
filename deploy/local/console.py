"""Writes the log lines of all services, each with the name of its service, in colour on a terminal."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TextIO

_COLOURS = {"valkey": 31, "storage": 33, "api": 36, "worker": 35, "stack": 32}
_WIDTH = max(len(name) for name in _COLOURS)


class Console:
    """Writes whole lines to one stream, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = Lock()
        self._is_terminal = stream.isatty()

    def write_line(self, name: str, line: str) -> None:
        """Write a line of the service `name`; do nothing if the stream is closed."""
        prefix = f"{name:{_WIDTH}} |"
        if self._is_terminal:
            prefix = f"\033[{_COLOURS.get(name, 0)}m{prefix}\033[0m"
        # If the terminal is gone, the services' output must still be read, or they would block.
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(f"{prefix} {line}\n")
            self._stream.flush()
