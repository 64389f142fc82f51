"""The API as if nobody had ever thought of traces: each function of the seam is replaced by the least that can be."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from api.monitoring import request_trace
from shared.telemetry import tracing

_nothing: Any = nullcontext(SimpleNamespace(set=lambda _: None, fail=lambda _: None))

tracing.span = lambda *_, **__: _nothing
tracing.record_span = lambda *_, **__: None
tracing.headers = lambda *_: {}
tracing.message_attributes = lambda *_: {}
request_trace.received_headers = dict

from api.wsgi import app  # noqa: E402, F401 - it imports these names
