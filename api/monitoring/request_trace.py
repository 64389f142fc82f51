"""Makes a span for every request, below the client's own span if the request names one in `traceparent`.

Nothing is registered while tracing is off, so requests cost the same.
"""

from __future__ import annotations

from contextlib import ExitStack
from http import HTTPStatus

from flask import Flask, Response, g, request

from api.monitoring.request_log import PROBE_PATHS
from shared.telemetry import tracing


def received_headers() -> tracing.Headers:
    """Return the headers of the client's span."""
    return {name: request.headers[name] for name in tracing.HEADERS if name in request.headers}


def register_request_trace(app: Flask) -> None:
    """Make spans for requests, except for the many of probes. A span ends when the head of the response is ready."""
    if not tracing.is_on():
        return

    @app.before_request
    def begin() -> None:
        if request.path in PROBE_PATHS:
            return
        route = request.url_rule.rule if request.url_rule else None
        g.held = ExitStack()
        g.span = g.held.enter_context(
            tracing.span(
                f"{request.method} {route}" if route else request.method,
                {
                    "http.request.method": request.method,
                    "url.path": request.path,
                    "url.scheme": request.scheme,
                    "stemqueue.request.id": g.request_id,
                    **({"http.route": route} if route else {}),
                },
                kind="server",
                parent=received_headers(),
            )
        )

    @app.after_request
    def end(response: Response) -> Response:
        if "span" in g:
            g.span.set({"http.response.status_code": response.status_code})
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                g.span.fail(str(response.status_code))
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        if "held" in g:
            g.held.close()
