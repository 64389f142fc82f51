"""Shows a job's progress on standard error: on a terminal a bar with stage and time left, otherwise lines of text."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import click

from api.client.models import Job
from api.client.terminal import StatusLine, bar

STAGES = {
    "fetch": "fetching",
    "probe": "checking",
    "decode": "decoding",
    "separate": "separating",
    "encode": "encoding",
    "illustrate": "drawing pictures",
    "upload": "storing",
}


class JobProgress:
    """A progress bar, first for the upload, then for the job, then for the downloads."""

    def __init__(self) -> None:
        self._line = StatusLine()
        self._last_text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()

    def show_upload(self, done_bytes: int, total_bytes: int) -> None:
        """Show the progress of the upload."""
        self._show("uploading", done_bytes / max(1, total_bytes))

    def show_job(self, job: Job) -> None:
        """Show the progress of the job."""
        if job.waiting_for:
            text = f"waiting for the {job.waiting_for}"
        elif job.state == "queued":
            text = f"waiting, position {job.queue_position}" if job.queue_position else "waiting"
        else:
            text = STAGES.get(job.stage or "", job.state)
        if job.attempt > 1:
            text += f" (attempt {job.attempt})"
        self._show(text, job.progress, None if job.ended else job.eta_seconds)

    def show_download(self, done_bytes: int, total_bytes: int) -> None:
        """Show the progress of the downloads."""
        self._show("downloading", done_bytes / max(1, total_bytes))

    def _show(self, text: str, fraction: float, left_seconds: float | None = None) -> None:
        left = "" if left_seconds is None else f"{clock(left_seconds)} left"
        is_new, self._last_text = text != self._last_text, text
        self._line.show(f"{text:<28} {bar(fraction, 24)} {fraction:4.0%} {left}", at_once=is_new)
        if is_new and not self._line.is_live:
            click.echo(" ".join(part for part in (text, left) if part), err=True)


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
