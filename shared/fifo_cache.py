"""A mapping that holds what was put in last: for what costs more to make than to look up."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FifoCache(Generic[K, V]):
    """At most `size` values; any thread may put and get."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the value, if it is still here."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Hold a value; beyond the size the one goes that was put in first."""
        with self._lock:
            self._values.pop(key, None)
            if len(self._values) >= self._size:
                del self._values[next(iter(self._values))]
            self._values[key] = value

    def forget(self, key: K) -> None:
        """Let a value go, if it is here."""
        with self._lock:
            self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
