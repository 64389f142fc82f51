"""Unexpected errors reach a server that speaks Sentry's protocol, and the span in which they happened."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.fixtures.network.collector import serve_collector

PROGRAM = """
import structlog
from shared.logs import configure_logging
from shared.settings import read_settings
from shared.telemetry import set_up, tracing

settings = read_settings("worker")
configure_logging(settings, "worker", set_up.start(settings, "worker"))
log = structlog.get_logger("test")

def fail(title):
    raise RuntimeError("something broke")

with tracing.span("attempt", parent={}), structlog.contextvars.bound_contextvars(job="j1", attempt=1):
    try:
        fail("a secret title")
    except RuntimeError:
        log.exception("attempt failed with an internal error")
        log.warning("expected", exc_info=True)
        log.error("no traceback")
set_up.stop()
"""


def test_an_error_is_reported_once_with_its_trace_and_without_variables(tmp_path: Path) -> None:
    envelopes = list[bytes]()

    class Sentry(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/api/42/envelope/"
            envelopes.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sentry)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with serve_collector() as collector:
            done = subprocess.run(
                [sys.executable, "-I", "-c", PROGRAM],
                cwd=tmp_path,
                env={
                    "PATH": os.environ["PATH"],
                    "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                    "OTEL_SERVICE_NAME": "my-worker",
                    "SENTRY_DSN": f"http://key@127.0.0.1:{server.server_port}/42",
                },
                capture_output=True,
                text=True,
                check=True,
                timeout=240,
            )
            (span,) = collector.spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    (event,) = _events(envelopes)
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "something broke")
    assert event["tags"].items() >= {"job": "j1", "attempt": "1", "service": "worker"}.items()
    assert event["contexts"]["trace"]["trace_id"] == span.trace_id
    assert event["contexts"]["trace"]["span_id"] == span.span_id
    assert "secret title" not in json.dumps(event)
    assert (span.service, span.failed, span.events) == ("my-worker", True, ("exception",))
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["trace_id"] for line in lines] == [span.trace_id] * 3
    assert "RuntimeError: something broke" in lines[0]["exception"], "the log has the traceback as before"


def _events(envelopes: list[bytes]) -> list[dict[str, Any]]:
    """Return the events in envelopes: lines of JSON, in pairs of a header and a payload after the first."""
    found = []
    for envelope in envelopes:
        lines = [json.loads(line) for line in envelope.splitlines() if line]
        found += [
            payload for header, payload in zip(lines[1::2], lines[2::2], strict=True) if header["type"] == "event"
        ]
    return found
