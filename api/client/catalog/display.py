"""Shows a run's progress on standard error: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import click

from api.client.options import printable
from api.client.progress import clock
from api.client.terminal import StatusLine, bar, columns

LINE_SECONDS = 10.0
"""The shortest time between two lines."""

FULL_COLUMNS = 100
"""The width of the full text with its bar. A narrower terminal shows a shorter text, the most important part first."""


@dataclass(frozen=True)
class RunProgress:
    """How many tracks of a run are in each state. `done` ones are separated and, if wanted, downloaded."""

    total: int
    uploading: int
    running: int
    done: int
    failed: int

    @property
    def ended(self) -> int:
        """The number of tracks that need no more work."""
        return self.done + self.failed


class RunDisplay:
    """The progress line of a run."""

    def __init__(self) -> None:
        self._line = StatusLine()
        self._began_at = time.monotonic()
        self._ended_before: int | None = None
        self._last_text, self._next_line_at = "", 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close(keep=True)

    def show(self, progress: RunProgress, trouble: str | None = None) -> None:
        """Show the progress, or the error that makes requests be retried."""
        if self._ended_before is None:
            self._ended_before = progress.ended
        text = self._text(progress)
        if trouble:
            text = f"{progress.done} of {progress.total} done; trying again: {trouble}"
        drawn = "" if self._is_narrow() else bar(progress.ended / max(1, progress.total), 12) + " "
        self._line.show(drawn + printable(text), at_once=True)
        now = time.monotonic()
        if not self._line.is_live and text != self._last_text and now >= self._next_line_at:
            click.echo(printable(text), err=True)
            self._last_text, self._next_line_at = text, now + LINE_SECONDS

    @property
    def elapsed_seconds(self) -> float:
        """The time since this run started or was resumed."""
        return time.monotonic() - self._began_at

    def songs_an_hour(self, progress: RunProgress) -> float:
        """Return the speed since the start, without tracks that had ended before a resume."""
        return 3600 * (progress.ended - (self._ended_before or 0)) / max(1.0, self.elapsed_seconds)

    def _is_narrow(self) -> bool:
        return self._line.is_live and columns() < FULL_COLUMNS

    def _text(self, progress: RunProgress) -> str:
        speed = self.songs_an_hour(progress)
        left = f"{clock((progress.total - progress.ended) / speed * 3600)} left" if speed else ""
        if self._is_narrow():
            short = [f"{progress.done}/{progress.total} done", f"{progress.failed} failed" if progress.failed else ""]
            short += [left, f"{progress.running} running", f"{speed:.0f}/h" if speed else ""]
            return ", ".join(part for part in short if part)
        parts = [
            f"{progress.done} of {progress.total} done",
            f"{progress.running} running",
            f"{progress.failed} failed",
        ]
        if progress.uploading:
            parts.append(f"{progress.uploading} to upload")
        if speed:
            parts += [f"{speed:.0f} songs an hour", left]
        return ", ".join(parts)
