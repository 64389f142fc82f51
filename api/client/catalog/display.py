"""Shows a run's progress on standard error: one bar, or a line now and then if it is no terminal."""

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
"""The least time between two lines."""

FULL_COLUMNS = 100
"""What the whole text and its bar take. On a narrower terminal the text is shorter, the most important part first."""


@dataclass(frozen=True)
class Standing:
    """How far a run is. `done` tracks are separated, and their stems are here where they should be."""

    total: int
    uploading: int
    running: int
    done: int
    failed: int

    @property
    def over(self) -> int:
        """Tracks that nothing more is done for."""
        return self.done + self.failed


class RunDisplay:
    """The one bar of a run."""

    def __init__(self) -> None:
        self._line = StatusLine()
        self._begun = time.monotonic()
        self._over_before: int | None = None
        self._said, self._say_at = "", 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close(keep=True)

    def show(self, standing: Standing, trouble: str | None = None) -> None:
        """Show how far the run is, or why it is not getting on."""
        if self._over_before is None:
            self._over_before = standing.over
        text = self._text(standing)
        if trouble:
            text = f"{standing.done} of {standing.total} done; trying again: {trouble}"
        drawn = "" if self._is_narrow() else bar(standing.over / max(1, standing.total), 12) + " "
        self._line.show(drawn + printable(text), at_once=True)
        now = time.monotonic()
        if not self._line.is_live and text != self._said and now >= self._say_at:
            click.echo(text, err=True)
            self._said, self._say_at = text, now + LINE_SECONDS

    @property
    def elapsed_seconds(self) -> float:
        """How long this run, or this part of it, has lasted."""
        return time.monotonic() - self._begun

    def songs_an_hour(self, standing: Standing) -> float:
        """Return the pace since the start; what was over before counts for nothing."""
        return 3600 * (standing.over - (self._over_before or 0)) / max(1.0, self.elapsed_seconds)

    def _is_narrow(self) -> bool:
        return self._line.is_live and columns() < FULL_COLUMNS

    def _text(self, standing: Standing) -> str:
        pace = self.songs_an_hour(standing)
        left = f"{clock((standing.total - standing.over) / pace * 3600)} left" if pace else ""
        if self._is_narrow():
            short = [f"{standing.done}/{standing.total} done", f"{standing.failed} failed" if standing.failed else ""]
            short += [left, f"{standing.running} running", f"{pace:.0f}/h" if pace else ""]
            return ", ".join(part for part in short if part)
        parts = [
            f"{standing.done} of {standing.total} done",
            f"{standing.running} running",
            f"{standing.failed} failed",
        ]
        if standing.uploading:
            parts.append(f"{standing.uploading} to upload")
        if pace:
            parts += [f"{pace:.0f} songs an hour", left]
        return ", ".join(parts)
