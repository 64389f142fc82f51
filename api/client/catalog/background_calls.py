"""Threads for what waits on the network; what comes of it is dealt with in the thread that asked.

The threads are daemons, which `concurrent.futures` does not offer: a run that is stopped does not wait for an upload.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Results:
    """What background work came to, in the order it ended."""

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def put(self, call: Callable[[], None]) -> None:
        """Have a call made by `settle`."""
        self._ended.put(call)

    def settle(self, wait_seconds: float) -> None:
        """Deal with what has ended; wait so long for the first of it."""
        try:
            self._ended.get(timeout=max(0.0, wait_seconds))()
            while True:
                self._ended.get_nowait()()
        except queue.Empty:
            return


class Background:
    """Some threads; `busy` counts the calls that are not dealt with yet."""

    def __init__(self, threads: int, results: Results) -> None:
        self.threads = threads
        self.busy = 0
        self._results = results
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._run, name=f"background-{number}", daemon=True).start()

    @property
    def has_room(self) -> bool:
        """Whether another call would begin about now."""
        return self.busy < 2 * self.threads

    def do(self, call: Callable[[], T], then: Callable[[T], None], or_else: Callable[[Exception], None]) -> None:
        """Make a call in the background; `then` or `or_else` is called by `Results.settle`."""
        self.busy += 1

        def made() -> None:
            try:
                outcome = partial(then, call())
            except Exception as error:  # noqa: BLE001 - it is handed on
                outcome = partial(or_else, error)

            def settled() -> None:
                self.busy -= 1
                outcome()

            self._results.put(settled)

        self._calls.put(made)

    def _run(self) -> None:
        while True:
            self._calls.get()()
