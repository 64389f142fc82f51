"""What `stemqueue` shows while one waits: a bar with stage and time left, on standard error.

Owns the bar alone. Where standard error is no terminal it writes a line for each stage instead.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from api.client.models import Job

STAGES = {
    "fetch": "fetching",
    "probe": "looking at it",
    "decode": "decoding",
    "separate": "separating",
    "encode": "encoding",
    "illustrate": "drawing",
    "upload": "storing",
}


class JobProgress:
    """One bar from the upload to the last download; it fills anew for each of the three."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._said = ""
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=1.0, left="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def uploading(self, done_bytes: int, total_bytes: int) -> None:
        """Show how far the upload is."""
        self._show("uploading", done_bytes / max(1, total_bytes))

    def job(self, job: Job) -> None:
        """Show how far the job is."""
        if job.state == "queued":
            text = f"waiting, place {job.queue_position}" if job.queue_position else "waiting"
        else:
            text = STAGES.get(job.stage or "", job.state)
        if job.attempt > 1:
            text += f" (attempt {job.attempt})"
        self._show(text, job.progress, None if job.ended else job.eta_seconds)

    def downloading(self, done_bytes: int, total_bytes: int) -> None:
        """Show how far the downloads are."""
        self._show("downloading", done_bytes / max(1, total_bytes))

    def _show(self, text: str, fraction: float, left_seconds: float | None = None) -> None:
        left = "" if left_seconds is None else f"{clock(left_seconds)} left"
        self._progress.update(self._bar, description=text, completed=fraction, left=left)
        if not self._live and text != self._said:
            click.echo(" ".join(part for part in (text, left) if part), err=True)
            self._said = text


def clock(seconds: float) -> str:
    """Return a time as people write it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
