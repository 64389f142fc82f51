"""Counts the URLs that a process fetches at the moment, for each owner: every fetch holds a thread of the API."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import FetchesExhaustedError


class FetchSlots:
    """Allows fetches to hold half of a process's threads, and those of one owner a quarter."""

    def __init__(self, threads: int) -> None:
        self._max, self._max_per_owner = max(1, threads // 2), max(1, threads // 4)
        self._owners: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def held(self, owner: str) -> Iterator[None]:
        """Hold a slot within. Raises FetchesExhaustedError when there is none for the owner."""
        with self._lock:
            if self._owners.total() >= self._max or self._owners[owner] >= self._max_per_owner:
                raise FetchesExhaustedError("The server fetches as many URLs as it can. Try again, or send the file.")
            self._owners[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._owners[owner] -= 1
                # No name is kept for longer than needed.
                self._owners += Counter()
