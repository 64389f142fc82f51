"""Sends unexpected errors to Sentry, or to a server that speaks its protocol, such as GlitchTip or Bugsink.

Import it only if SENTRY_DSN is set. Sentry makes issues from its own SDK's events only: its OTLP endpoint drops the
events of spans, and with them the errors that OpenTelemetry records. The SDK reads SENTRY_ENVIRONMENT and
SENTRY_RELEASE itself. A thread of its own sends the reports from a bounded queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import sentry_sdk
from sentry_sdk.integrations import Integration

STOP_SECONDS = 2.0
"""How long a stop waits for the server to take the last reports."""

TAGS = ("job", "batch", "attempt", "engine", "request_id", "code")
"""The fields of a log line that its report has too."""


class SentryReports:
    """The error reports of one process. With `has_traces` they name the trace and the span."""

    def __init__(self, dsn: str, service: str, *, has_traces: bool) -> None:
        self._tags = {"service": service, "stemqueue": version("stemqueue")}
        sentry_sdk.init(
            dsn=dsn,
            # Nothing is patched or hooked: reports come from log lines with an error alone.
            default_integrations=False,
            integrations=_link_to_traces() if has_traces else [],
            # Variables and requests hold titles, keys and songs.
            include_local_variables=False,
            send_default_pii=False,
            max_breadcrumbs=0,
            shutdown_timeout=STOP_SECONDS,
        )

    def report(self, error: BaseException, fields: Mapping[str, Any]) -> None:
        """Queue a report of an error that was logged with these fields."""
        with sentry_sdk.new_scope() as scope:
            scope.set_tags({**self._tags, **{name: str(fields[name]) for name in TAGS if name in fields}})
            scope.capture_exception(error)

    def stop(self) -> None:
        """Send what is left, within STOP_SECONDS."""
        sentry_sdk.flush(timeout=STOP_SECONDS)


def _link_to_traces() -> list[Integration]:
    from sentry_sdk.integrations.otlp import OTLPIntegration  # noqa: PLC0415 - needs OpenTelemetry

    # Spans have an exporter already, and W3C's headers.
    return [OTLPIntegration(setup_otlp_traces_exporter=False, setup_propagator=False)]
