"""A small FIFO cache for values that are expensive to build."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FifoCache(Generic[K, V]):
    """A cache of at most `size` values. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the value, or None if it is not in the cache."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Add a value. If the cache is full, remove the oldest value."""
        with self._lock:
            self._values.pop(key, None)
            if len(self._values) >= self._size:
                del self._values[next(iter(self._values))]
            self._values[key] = value

    def forget(self, key: K) -> None:
        """Remove a value, if it is in the cache."""
        with self._lock:
            self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
