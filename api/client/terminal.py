"""Draws on the terminal: one line on standard error that is rewritten in place, and tables as text."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import click

REFRESH_SECONDS = 0.1
"""The shortest time between two updates, for terminals over slow connections."""


def is_terminal() -> bool:
    """Return whether standard error is a terminal that can rewrite a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def columns() -> int:
    """Return the width of the terminal."""
    setting = os.environ.get("COLUMNS", "")
    if setting.isdecimal() and int(setting) > 0:
        return int(setting)
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (ValueError, OSError):
        return 80


def bar(fraction: float, width: int) -> str:
    """Return a bar of `width` characters that is filled up to a fraction from 0 to 1."""
    filled = round(min(1.0, max(0.0, fraction)) * width)
    return "#" * filled + "." * (width - filled)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows below a header, in columns that are as wide as their longest cell."""
    lines = [header, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


class StatusLine:
    """A line that each call of `show` replaces. Where standard error is not a terminal it shows nothing."""

    def __init__(self) -> None:
        self.is_live = is_terminal()
        self._shown = ""
        self._next_at = 0.0

    def show(self, text: str, *, at_once: bool = False) -> None:
        """Draw the text, cut to the terminal's width. Updates within REFRESH_SECONDS are skipped unless `at_once`."""
        now = time.monotonic()
        if not self.is_live or text == self._shown or (now < self._next_at and not at_once):
            return
        # A full last column would make some terminals begin a new line.
        click.echo(f"\r\033[K{text[: columns() - 1]}", nl=False, err=True, color=True)
        self._shown, self._next_at = text, now + REFRESH_SECONDS

    def close(self, *, keep: bool = False) -> None:
        """Remove the line, or keep what it shows and begin a new one."""
        if self.is_live and self._shown:
            click.echo("\n" if keep else "\r\033[K", nl=False, err=True, color=True)
            self._shown = ""
