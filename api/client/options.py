"""Options that several commands have, and what keeps their output fit for a terminal."""

from __future__ import annotations

from typing import Any

import click

from api.client.models import Excerpt
from shared.audio_formats import FORMATS


class ExcerptType(click.ParamType[Excerpt]):
    """`90+20`."""

    name = "START+SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Excerpt:
        """Read the option's value."""
        if isinstance(value, Excerpt):
            return value
        try:
            return Excerpt.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def wishes(command: Any) -> Any:
    """Add the options that say what a job should do."""
    for option in reversed(
        (
            click.option("--engine", help="Engine that separates; see `stemqueue engines`."),
            click.option("--preset", help="Preset of the engine."),
            click.option("--format", type=click.Choice(list(FORMATS)), help="Format of the stems; flac by default."),
            click.option("--excerpt", type=ExcerptType(), help="Part to separate: 90+20 is 20 s from 1:30 on."),
            click.option(
                "--audio-stream",
                type=click.IntRange(min=1),
                help="Audio stream of the file, counted from 1; the default stream if not given.",
            ),
        )
    ):
        command = option(command)
    return command


def printable(text: str) -> str:
    """Return text that cannot steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
