"""Starts and stops traces and error reports, as the settings ask for them, and adds trace ids to log lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from importlib.util import find_spec
from typing import Any

import structlog

from shared.settings import Settings
from shared.telemetry import tracing

Event = MutableMapping[str, Any]


def require_packages(settings: Settings, program: str) -> None:
    """End the program if the settings ask for a package that is not installed."""
    for setting, is_wanted, package in (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", settings.sends_traces, "opentelemetry.sdk"),
        ("SENTRY_DSN", bool(settings.sentry_dsn), "sentry_sdk"),
    ):
        if is_wanted and not _is_installed(package):
            sys.exit(f"{program}: {setting} needs the extra 'telemetry': pip install 'stemqueue[telemetry]'")


def start(settings: Settings, program: str) -> list[structlog.typing.Processor]:
    """Start what the settings ask for, and return what log lines must pass through. Call it after the last fork.

    `program` is `api` or `worker`.
    """
    processors = list[structlog.typing.Processor]()
    require_packages(settings, program)
    if settings.sends_traces:
        from shared.telemetry.opentelemetry_tracer import OpenTelemetryTracer  # noqa: PLC0415 - costs a second

        tracer = OpenTelemetryTracer(f"stemqueue-{program}")
        tracing.install(tracer)
        processors.append(lambda _, __, event: {**event, **tracer.log_fields()})
        processors.append(_pass_errors_to(lambda error, _: tracer.record_error(error)))
    if settings.sentry_dsn:
        from shared.telemetry.sentry_reports import SentryReports  # noqa: PLC0415 - likewise

        reports = SentryReports(settings.sentry_dsn, program, has_traces=settings.sends_traces)
        processors.append(_pass_errors_to(reports.report))
        _stops.append(reports.stop)
    return processors


def stop() -> None:
    """Send the remaining spans and reports. Takes a few seconds at most, whatever the servers do."""
    tracing.installed().stop()
    for stop_reports in _stops:
        stop_reports()


_stops: list[Callable[[], None]] = []


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _pass_errors_to(report: Callable[[BaseException, Event], None]) -> structlog.typing.Processor:
    """Return a processor that passes on the errors of log lines that have a traceback and are no warnings."""

    def pass_on(_: Any, level: str, event: Event) -> Event:
        found = event.get("exc_info")
        if found and level in {"error", "critical", "exception"}:
            error = found if isinstance(found, BaseException) else (sys.exc_info() if found is True else found)[1]
            if error is not None:
                report(error, event)
        return event

    return pass_on
