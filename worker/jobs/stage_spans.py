"""Makes a span for each stage of a child, from its progress events: a child has no network to send spans itself.

If a child is killed or stops with an error, the stage that it was in ends then, and is marked as failed.
"""

from __future__ import annotations

import time
from types import TracebackType

from shared.telemetry import tracing


class StageSpans:
    """A context manager around one separation. The spans belong to the span that is current when they end."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._begun_at = 0.0

    def __enter__(self) -> StageSpans:
        return self

    def enter_stage(self, stage: str) -> None:
        """Note that the child is in this stage; the span of an earlier one ends."""
        if stage != self._stage:
            self._end_stage()
            self._stage, self._begun_at = stage, time.time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stage(str(getattr(error, "code", kind.__name__)) if kind else None)

    def _end_stage(self, error_type: str | None = None) -> None:
        if self._stage:
            tracing.record_span(self._stage, self._begun_at, time.time(), error_type=error_type)
        self._stage = None
