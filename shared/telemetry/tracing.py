"""Spans of traces: what the API and the workers call. Until set_up.py installs a tracer, a call does nothing.

A span is one part of the work for a job, with its begin and end. The spans of a job form one trace across all
processes: the W3C headers `traceparent` and `tracestate` connect them. Attributes follow OpenTelemetry's semantic
conventions where there are any. They never hold titles, file names, owners, keys or URLs of clients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

Kind = Literal["internal", "server", "client", "producer", "consumer"]

Attributes = Mapping[str, str | int | float | bool]

Headers = Mapping[str, str]
"""The W3C headers of a span, with names in lower case; empty without a trace."""

HEADERS: Mapping[str, re.Pattern[str]] = {
    "traceparent": re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "tracestate": re.compile(r"[!-~](?:[ -~]{0,510}[!-~])?"),
}
"""The headers of the W3C recommendation "Trace Context", and what they may hold here."""


class Span:
    """A part of the work that goes on. This one is not recorded."""

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, error_type: str) -> None:
        """Mark the span as failed. `error_type` is a code or a class's name, never a message."""


class Tracer(Protocol):
    """What makes spans; the functions of this module describe the methods."""

    def span(
        self, name: str, attributes: Attributes, *, kind: Kind, parent: Headers | None, links: Sequence[Headers]
    ) -> AbstractContextManager[Span]:
        """Return a context whose time is recorded."""

    def record_span(
        self, name: str, begun_at: float, ended_at: float, *, parent: Headers | None, error_type: str | None
    ) -> None:
        """Record a span that has ended."""

    def headers(self, received: Headers) -> dict[str, str]:
        """Return the headers of the current span."""

    def log_fields(self) -> dict[str, str]:
        """Return the ids of the current span."""

    def record_error(self, error: BaseException) -> None:
        """Record an unexpected error in the current span."""

    def stop(self) -> None:
        """Send the remaining spans."""


class NoTracer:
    """Records nothing, and passes on the headers that it is given."""

    def span(self, *_: object, **__: object) -> Span:
        """Return a context that does nothing."""
        return _NO_SPAN

    def record_span(self, *_: object, **__: object) -> None:
        """Do nothing."""

    def headers(self, received: Headers) -> dict[str, str]:
        """Return the well-formed headers among those received."""
        if "traceparent" not in received:
            return {}
        passed_on = {name: received[name] for name in HEADERS if HEADERS[name].fullmatch(received.get(name, ""))}
        return passed_on if "traceparent" in passed_on else {}

    def log_fields(self) -> dict[str, str]:
        """Return nothing."""
        return {}

    def record_error(self, _: BaseException) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


_NO_SPAN = Span()

_NO_ATTRIBUTES: Attributes = {}

_NO_HEADERS: Headers = {}

_tracer: Tracer = NoTracer()


def install(tracer: Tracer) -> None:
    """Use another tracer from now on."""
    global _tracer  # noqa: PLW0603 - one for each process, as the current span is
    _tracer = tracer


def installed() -> Tracer:
    """Return the tracer in use."""
    return _tracer


def is_on() -> bool:
    """Return whether spans are recorded. Only for work that would be wasted otherwise."""
    return not isinstance(_tracer, NoTracer)


def span(
    name: str,
    attributes: Attributes = _NO_ATTRIBUTES,
    *,
    kind: Kind = "internal",
    parent: Headers | None = None,
    links: Sequence[Headers] = (),
) -> AbstractContextManager[Span]:
    """Return a context whose time is recorded as a span. An error that leaves it marks the span as failed.

    The span belongs to the current span of this thread, or to that of the headers `parent`; if they are empty, it
    begins a trace. `links` are headers of spans of other traces.
    """
    return _tracer.span(name, attributes, kind=kind, parent=parent, links=links)


def record_span(
    name: str, begun_at: float, ended_at: float, *, parent: Headers | None = None, error_type: str | None = None
) -> None:
    """Record a span that has ended; times are seconds since 1970. With an `error_type` it is marked as failed."""
    _tracer.record_span(name, begun_at, ended_at, parent=parent, error_type=error_type)


def message_attributes(job_id: str, operation: Literal["send", "process"]) -> dict[str, str]:
    """Return the attributes of a span that puts a job into the queue or takes it from there."""
    return {
        "messaging.system": "celery",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.message.id": job_id,
        "stemqueue.job.id": job_id,
    }


def headers(received: Headers = _NO_HEADERS) -> dict[str, str]:
    """Return the headers to pass on: those of the current span or, if tracing is off, the ones received."""
    return _tracer.headers(received)
