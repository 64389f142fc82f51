"""Threads for calls that wait for the network. Results are handled in the thread that started the calls.

The threads are daemons, which `concurrent.futures` does not offer, so a run that is stopped does not wait for an
upload.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class FinishedCalls:
    """The results of background calls, in the order in which the calls ended."""

    def __init__(self) -> None:
        self._handlers: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def add_handler(self, handler: Callable[[], None]) -> None:
        """Add a handler, which `handle_all` calls."""
        self._handlers.put(handler)

    def handle_all(self, wait_seconds: float) -> None:
        """Handle the calls that have ended; wait up to `wait_seconds` for the first."""
        try:
            self._handlers.get(timeout=max(0.0, wait_seconds))()
            while True:
                self._handlers.get_nowait()()
        except queue.Empty:
            return


class BackgroundCalls:
    """A thread pool. `pending` counts the calls whose results are not handled yet."""

    def __init__(self, threads: int, finished: FinishedCalls) -> None:
        self.threads = threads
        self.pending = 0
        self._finished = finished
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._make_calls, name=f"background-{number}", daemon=True).start()

    @property
    def has_room(self) -> bool:
        """Whether another call would begin soon."""
        return self.pending < 2 * self.threads

    def start_call(
        self, call: Callable[[], T], on_result: Callable[[T], None], on_error: Callable[[Exception], None]
    ) -> None:
        """Make a call in a thread. `FinishedCalls.handle_all` then calls `on_result` or `on_error`."""
        self.pending += 1

        def make_call() -> None:
            try:
                handler = partial(on_result, call())
            except Exception as error:  # noqa: BLE001 - passed on to on_error
                handler = partial(on_error, error)

            def handle() -> None:
                self.pending -= 1
                handler()

            self._finished.add_handler(handle)

        self._calls.put(make_call)

    def _make_calls(self) -> None:
        while True:
            self._calls.get()()
