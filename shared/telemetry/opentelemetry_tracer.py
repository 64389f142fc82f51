"""Makes spans with OpenTelemetry and sends them to a collector by OTLP over HTTP.

Import it only if tracing is on. The SDK reads the standard variables (OTEL_EXPORTER_OTLP_*, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_*) itself. A thread of its own sends the spans from a bounded
queue; what a collector does not take is dropped, and no job waits for it. Call it after the last fork.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.logs import Trouble
from shared.telemetry.tracing import Attributes, Headers, Kind, Span

log = structlog.get_logger(__name__)

STOP_SECONDS = 2.0
"""How long a stop waits for the collector to take the last spans. A higher value delays stops during outages."""

KINDS = {kind.name.lower(): kind for kind in trace.SpanKind}


class RecordedSpan(Span):
    """A span that is recorded."""

    def __init__(self, recorded: trace.Span) -> None:
        self._recorded = recorded

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._recorded.set_attributes(attributes)

    def fail(self, error_type: str) -> None:
        """Mark the span as failed."""
        _fail(self._recorded, error_type)


class OpenTelemetryTracer:
    """The tracer of one process; `service` is its name unless OTEL_SERVICE_NAME gives another."""

    def __init__(self, service: str) -> None:
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        # The SDK's own handler at exit would wait for half a minute.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_QuietExporter(OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("stemqueue", version("stemqueue"))
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, attributes: Attributes, *, kind: Kind, parent: Headers | None, links: Sequence[Headers]
    ) -> Iterator[Span]:
        """Record what happens in the context as the current span of this thread."""
        with self._tracer.start_as_current_span(
            name,
            context=self._context_of(parent),
            kind=KINDS[kind],
            attributes=attributes,
            links=[trace.Link(linked) for linked in map(self._span_of, links) if linked.is_valid],
            # The message of an error may contain anything.
            record_exception=False,
            set_status_on_exception=False,
        ) as recorded:
            try:
                yield RecordedSpan(recorded)
            except BaseException as error:
                _fail(recorded, str(getattr(error, "code", type(error).__name__)))
                raise

    def record_span(
        self, name: str, begun_at: float, ended_at: float, *, parent: Headers | None, error_type: str | None
    ) -> None:
        """Record a span that has ended."""
        begun_ns, ended_ns = int(begun_at * 1e9), int(ended_at * 1e9)
        recorded = self._tracer.start_span(name, context=self._context_of(parent), start_time=begun_ns)
        if error_type:
            _fail(recorded, error_type)
        recorded.end(max(begun_ns, ended_ns))

    def headers(self, received: Headers) -> dict[str, str]:
        """Return the headers of the current span; none if there is no span."""
        del received
        carrier = dict[str, str]()
        self._propagator.inject(carrier)
        return carrier

    def log_fields(self) -> dict[str, str]:
        """Return the ids of the current span, under their usual names."""
        current = trace.get_current_span().get_span_context()
        if not current.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(current.trace_id), "span_id": trace.format_span_id(current.span_id)}

    def record_error(self, error: BaseException) -> None:
        """Add the error to the current span, with its traceback."""
        current = trace.get_current_span()
        current.record_exception(error)
        _fail(current, type(error).__name__)

    def stop(self) -> None:
        """Send the remaining spans, within STOP_SECONDS."""
        # The SDK's own method has no timeout. Its thread ends with the process.
        flush = threading.Thread(target=self._provider.shutdown, name="telemetry-flush", daemon=True)
        flush.start()
        flush.join(STOP_SECONDS)

    def _context_of(self, parent: Headers | None) -> Context | None:
        return None if parent is None else self._propagator.extract(parent, Context())

    def _span_of(self, headers: Headers) -> trace.SpanContext:
        return trace.get_current_span(self._context_of(headers)).get_span_context()


def _fail(recorded: trace.Span, error_type: str) -> None:
    recorded.set_attribute("error.type", error_type)
    recorded.set_status(trace.StatusCode.ERROR)


class _QuietExporter(SpanExporter):
    """Says once a minute, and not at each attempt, that the collector takes nothing."""

    def __init__(self, exporter: OTLPSpanExporter) -> None:
        self._exporter = exporter
        self._trouble = Trouble()
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans; they are lost if that fails."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._trouble.clear()
        elif self._trouble.should_log():
            log.warning("spans dropped: the collector does not take them", spans=len(spans))
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it has no types
