"""Configures the logs of every process: one event per line on standard error, as JSON or as text.

`bind_request` adds a request's id to everything that its thread logs, until `unbind_request`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any

import structlog

from shared.settings import Settings

CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
"""Characters that could fake a log line or control a terminal, and their replacements."""

QUIET = (
    *("botocore", "boto3", "urllib3", "s3transfer", "kombu", "amqp", "httpx2", "httpcore2"),
    *("celery.worker.strategy", "celery.app.trace"),
)
"""Libraries that log each call, or repeat our own messages about jobs. Only their warnings are shown."""

REPEAT_SECONDS = 60.0
"""How often a lasting fault is logged: an hour without Redis gives 60 lines, not 3,600."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Not one of structlog's context variables: structlog would search all variables at each event."""


class Trouble:
    """A fault that a loop meets again and again: it is logged at once, and then once a minute until it is over."""

    def __init__(self) -> None:
        self._logged_at: float | None = None

    def should_log(self) -> bool:
        """Return whether to log the fault now."""
        now = time.monotonic()
        if self._logged_at is not None and now - self._logged_at < REPEAT_SECONDS:
            return False
        self._logged_at = now
        return True

    def clear(self) -> None:
        """Record that the fault is over. The next one is logged at once."""
        self._logged_at = None


def configure_logging(settings: Settings, service: str, further: Sequence[structlog.typing.Processor] = ()) -> None:
    """Send all logs of the process, also those of libraries, to standard error in the configured format.

    Events pass through the `further` processors before their errors become text.
    """
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        *further,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _add_service(service),
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
        render += [_for_text, structlog.dev.ConsoleRenderer(colors=False)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=render))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def bind_request(request_id: str) -> None:
    """Add the request's id to everything that this thread logs from now on."""
    _request_id.set(request_id)


def unbind_request() -> None:
    """Stop adding a request's id."""
    _request_id.set(None)


def _add_request_id(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request_id := _request_id.get():
        event.setdefault("request_id", request_id)
    return event


def _add_service(name: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = name
        return event

    return add


def _for_text(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # The program that shows the logs of several services prints their names itself.
    event.pop("service", None)
    # JSON escapes control characters. In text, a file name with a line break would start a new line.
    for name, value in event.items():
        if isinstance(value, str) and name != "exception":
            event[name] = value.translate(CONTROL_CHARACTERS)
    return event
