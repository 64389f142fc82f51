"""Limits the requests that occupy a thread for long: uploads, downloads, waits and event streams.

Each process counts them per owner and in total, so that some threads always remain for short requests. Callers without
a key are one owner.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, Response, g, request

from api.access.authentication import Caller
from api.contract.errors import ServerBusyError, TooManyOpenCallsError
from api.contract.problem_details import answer_error
from api.request_bodies.unread_bodies import has_body
from shared.errors import StemqueueError
from shared.settings import Settings

SHORT_BYTES = 32 * 1024
"""Responses up to this size fit into the kernel's buffers, so a client that does not read occupies no thread."""


class OpenCall:
    """One open call. Closing it twice is harmless."""

    def __init__(self, calls: OpenCalls, owner: str) -> None:
        self._calls = calls
        self._owner: str | None = owner

    def close(self) -> None:
        """End the call."""
        owner, self._owner = self._owner, None
        if owner is not None:
            self._calls.close_call(owner)


class OpenCalls:
    """The open calls of one process."""

    def __init__(self, settings: Settings) -> None:
        threads = settings.api_threads
        self.most = settings.max_open_calls or max(1, threads * 3 // 4)
        self.most_of_owner = settings.max_open_calls_per_owner or max(1, threads // 2)
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._number = 0

    def open_call(self, owner: str) -> OpenCall:
        """Count a call. Raises TooManyOpenCallsError, ServerBusyError."""
        with self._lock:
            if self._open[owner] >= self.most_of_owner:
                raise TooManyOpenCallsError(
                    f"You have reached the limit of {self.most_of_owner} open uploads, downloads and event streams."
                )
            if self._number >= self.most:
                raise ServerBusyError(
                    "The server has reached its limit of open uploads, downloads and event streams. Try again shortly."
                )
            self._open[owner] += 1
            self._number += 1
        return OpenCall(self, owner)

    def close_call(self, owner: str) -> None:
        """Stop counting a call."""
        with self._lock:
            self._number -= 1
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    def count_request(self) -> None:
        """Count the current request until its response is sent. Raises what `open_call` raises."""
        if "open_call" not in g:
            g.open_call = self.open_call(_owner())

    @contextmanager
    def count_wait(self) -> Iterator[bool]:
        """Count this request while it waits; yields False at the limit."""
        if "open_call" in g:
            yield True
            return
        try:
            call = self.open_call(_owner())
        except StemqueueError:
            yield False
            return
        try:
            yield True
        finally:
            call.close()


def register_open_calls(app: Flask, calls: OpenCalls) -> None:
    """Count requests with a body, and large or endless responses. Register after authentication and rate limits."""

    @app.before_request
    def count_body() -> None:
        if has_body(request.environ):
            calls.count_request()

    @app.after_request
    def count_answer(response: Response) -> Response:
        if request.method == "GET" and _is_long(response):
            try:
                calls.count_request()
            except StemqueueError as error:
                response.close()
                return answer_error(error)
        if "open_call" in g and _is_long(response):
            # Werkzeug does not call on_close for a response with direct_passthrough.
            response.direct_passthrough = False
            response.call_on_close(g.pop("open_call").close)
        return response

    @app.teardown_request
    def end_short_call(_: BaseException | None) -> None:
        if "open_call" in g:
            g.pop("open_call").close()


def _is_long(response: Response) -> bool:
    size = response.content_length
    return response.is_streamed if size is None else size > SHORT_BYTES


def _owner() -> str:
    caller: Caller | None = g.get("caller")
    return caller.owner if caller else ""
