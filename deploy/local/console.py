"""How the stack's log looks: each line with the name of the program that wrote it, in colour on a terminal."""

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

    def write(self, name: str, line: str) -> None:
        """Write a line of the program `name`; without a word if nobody reads any more."""
        prefix = f"{name:{_WIDTH}} |"
        if self._is_terminal:
            prefix = f"\033[{_COLOURS.get(name, 0)}m{prefix}\033[0m"
        # A programs's output must be read on when the terminal is gone, or it would block.
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(f"{prefix} {line}\n")
            self._stream.flush()
