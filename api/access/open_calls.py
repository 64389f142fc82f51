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


class Place:
    """One open call. Releasing it twice is harmless."""

    def __init__(self, calls: OpenCalls, owner: str) -> None:
        self._calls = calls
        self._owner: str | None = owner

    def release(self) -> None:
        """End the call."""
        owner, self._owner = self._owner, None
        if owner is not None:
            self._calls.release(owner)


class OpenCalls:
    """The open calls of one process."""

    def __init__(self, settings: Settings) -> None:
        threads = settings.api_threads
        self.most = settings.max_open_calls or max(1, threads * 3 // 4)
        self.most_of_owner = settings.max_open_calls_per_owner or max(1, threads // 2)
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._number = 0

    def take(self, owner: str) -> Place:
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
        return Place(self, owner)

    def release(self, owner: str) -> None:
        """Stop counting a call."""
        with self._lock:
            self._number -= 1
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    def hold(self) -> None:
        """Count the current request until its response is sent. Raises what `take` raises."""
        if "place" not in g:
            g.place = self.take(_owner())

    @contextmanager
    def waiting(self) -> Iterator[bool]:
        """Count this request while it waits; yields False at the limit."""
        if "place" in g:
            yield True
            return
        try:
            place = self.take(_owner())
        except StemqueueError:
            yield False
            return
        try:
            yield True
        finally:
            place.release()


def register_open_calls(app: Flask, calls: OpenCalls) -> None:
    """Count requests with a body, and large or endless responses. Register after authentication and rate limits."""

    @app.before_request
    def count_body() -> None:
        if has_body(request.environ):
            calls.hold()

    @app.after_request
    def count_answer(response: Response) -> Response:
        if request.method == "GET" and _is_long(response):
            try:
                calls.hold()
            except StemqueueError as error:
                response.close()
                return answer_error(error)
        if "place" in g and _is_long(response):
            # Werkzeug does not call on_close for a response with direct_passthrough.
            response.direct_passthrough = False
            response.call_on_close(g.pop("place").release)
        return response

    @app.teardown_request
    def end_short_call(_: BaseException | None) -> None:
        if "place" in g:
            g.pop("place").release()


def _is_long(response: Response) -> bool:
    size = response.content_length
    return response.is_streamed if size is None else size > SHORT_BYTES


def _owner() -> str:
    caller: Caller | None = g.get("caller")
    return caller.owner if caller else ""
