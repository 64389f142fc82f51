"""Logs of every process: one event a line, JSON for machines or text for people, with what is bound to the moment.

Owns the form of a line, and how often the same trouble is told; owns no file: lines go to standard error, and whoever
runs the process keeps them. `bind_request` ties a request's id to all that its thread logs until `unbind_request`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

from shared.settings import Settings

CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
"""What could forge a line or steer a terminal, and how it is shown instead."""

QUIET = (
    *("botocore", "boto3", "urllib3", "s3transfer", "kombu", "amqp", "httpx2", "httpcore2"),
    *("celery.worker.strategy", "celery.app.trace"),
)
"""Libraries that tell of each call at INFO or DEBUG, or of jobs what we tell ourselves; their warnings are shown."""

TELL_AGAIN_SECONDS = 60.0
"""How often a trouble that lasts is told: an hour without Redis is 60 lines, and not 3,600."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Apart from structlog's own variables, which cost each request a search through all of them."""


class Trouble:
    """A trouble that a loop meets again and again: told at once, and then once a minute until it is over."""

    def __init__(self) -> None:
        self._told_at: float | None = None

    def is_news(self) -> bool:
        """Return whether to tell it now."""
        now = time.monotonic()
        if self._told_at is not None and now - self._told_at < TELL_AGAIN_SECONDS:
            return False
        self._told_at = now
        return True

    def over(self) -> None:
        """Say that all is well: the next trouble is another."""
        self._told_at = None


def configure_logging(settings: Settings, service: str) -> None:
    """Send the process's logs, ours and the libraries', to standard error in the form that the settings ask for."""
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _of_request,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _service(service),
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    render: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if settings.log_format == "json":
        render.append(structlog.processors.JSONRenderer())
    else:
        render += [_for_people, structlog.dev.ConsoleRenderer(colors=False)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=render))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def bind_request(request_id: str) -> None:
    """Let all that this thread logs carry the request's id, and nothing of an earlier request."""
    _request_id.set(request_id)


def unbind_request() -> None:
    """End what `bind_request` began."""
    _request_id.set(None)


def _of_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request_id := _request_id.get():
        event.setdefault("request_id", request_id)
    return event


def _service(name: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = name
        return event

    return add


def _for_people(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Whoever shows several services' lines puts their names in front.
    event.pop("service", None)
    # JSON escapes by itself; in text a file name with a line break would write a line of its own.
    for name, value in event.items():
        if isinstance(value, str) and name != "exception":
            event[name] = value.translate(CONTROL_CHARACTERS)
    return event
