"""Options and output that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from api.client.models import Excerpt
from shared.audio.formats import BIT_DEPTH_HELP, BITRATE_HELP, FORMATS
from shared.audio.mixes import MIX_HELP, Mix, read_mix, read_stems
from shared.parsing.strict_json import read_json

PRIORITIES = ("interactive", "bulk")
"""The priorities of jobs; a test compares them with the server's."""


class ExcerptType(click.ParamType[Excerpt]):
    """The type of `--excerpt`, such as `90+20`."""

    name = "START+SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Excerpt:
        """Parse the option's value."""
        if isinstance(value, Excerpt):
            return value
        try:
            return Excerpt.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class MixType(click.ParamType[Mix]):
    """The type of `--mix`, such as `minus:vocals`."""

    name = "[NAME=]MIX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Mix:
        """Parse the option's value."""
        if isinstance(value, Mix):
            return value
        try:
            return read_mix(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class JobOutputType(click.ParamType[tuple[str, str]]):
    """The type of `--from-job`, such as `3f2b…/vocals`."""

    name = "JOB_ID/OUTPUT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Parse the option's value."""
        if isinstance(value, tuple):
            return value
        job_id, _, output = value.partition("/")
        if not job_id or not output:
            self.fail(f"{value!r} is not of the form JOB_ID/OUTPUT, such as 3f2b…/vocals", param, ctx)
        return job_id, output


class StemsType(click.ParamType[list[str]]):
    """The type of `--stems`, such as `vocals,drums`."""

    name = "STEM,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Parse the option's value."""
        del param, ctx
        return value if isinstance(value, list) else read_stems(value)


class ThenType(click.ParamType[list[dict[str, Any]]]):
    """The type of `--then`: `vocals`, `vocals:unet`, or the JSON of one job or of a list of them."""

    name = "OUTPUT[:ENGINE]|JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[dict[str, Any]]:
        """Parse the option's value."""
        if isinstance(value, list):
            return value
        if not value.lstrip().startswith(("{", "[")):
            output, _, engine = value.partition(":")
            return [{"from": output, "engine": engine} if engine else {"from": output}]
        try:
            wanted = read_json(value)
        except (ValueError, RecursionError):
            self.fail("the value is not valid JSON", param, ctx)
        jobs: list[Any] = wanted if isinstance(wanted, list) else [wanted]
        if not all(isinstance(job, dict) for job in jobs):
            self.fail("each job must be a JSON object", param, ctx)
        return jobs


def _flatten(ctx: click.Context, param: click.Parameter, values: Sequence[list[Any]]) -> list[Any] | None:
    del ctx, param
    return [job for jobs in values for job in jobs] or None


mix_option = click.option(
    "--mix", "mixes", multiple=True, type=MixType(), help=f"A mix to make from the stems; repeatable. {MIX_HELP}"
)


def encoding_options(command: Any) -> Any:
    """Add the options of the outputs' format to a command."""
    depth = click.option("--bit-depth", type=click.IntRange(min=1), help=f"Bits per sample. {BIT_DEPTH_HELP}.")
    bitrate = click.option("--bitrate-kbps", type=click.IntRange(min=1), help=f"Bitrate in kbit/s. {BITRATE_HELP}.")
    return depth(bitrate(command))


def source_options(command: Any) -> Any:
    """Add the options for the source of a job to a command: the argument SONG, or `--from-job`."""
    song = click.argument("song", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
    from_job = click.option(
        "--from-job", type=JobOutputType(), help="Separate a stem or mix of a job that has succeeded, instead of SONG."
    )
    return song(from_job(command))


def source_of(song: Path | None, from_job: tuple[str, str] | None) -> dict[str, Any]:
    """Return the source as arguments of `Client.submit`. Raises UsageError unless there is exactly one."""
    if (song is None) == (from_job is None):
        raise click.UsageError("Give either SONG or --from-job.")
    if from_job is None:
        return {"path": song}
    return {"source_job": from_job[0], "source_output": from_job[1]}


def job_options(command: Any) -> Any:
    """Add the options of a job to a command."""
    for option in reversed(
        (
            click.option("--engine", help="Engine that separates the song. `stemqueue engines` lists them."),
            click.option("--preset", help="Preset of the engine. `stemqueue engines` lists them."),
            click.option("--stems", type=StemsType(), help="Stems to write; all by default. none: only the mixes."),
            mix_option,
            click.option("--format", type=click.Choice(list(FORMATS)), help="Format of the stems; flac by default."),
            encoding_options,
            click.option(
                "--excerpt", type=ExcerptType(), help="Separate only a part: 90+20 is 20 s, starting at 1:30."
            ),
            click.option(
                "--audio-stream",
                type=click.IntRange(min=1),
                help="Audio stream to separate, if the file has several. 1 is the first; by default, the main one.",
            ),
            click.option(
                "--then",
                multiple=True,
                type=ThenType(),
                callback=_flatten,
                help="When this job has succeeded, separate one of its stems or mixes in a new job; repeatable. Give "
                'OUTPUT[:ENGINE], such as vocals:unet, or the new job as JSON, such as {"from": "vocals", '
                '"format": "mp3"}.',
            ),
        )
    ):
        command = option(command)
    return command


def printable(text: str) -> str:
    """Return the text without control characters, which could change the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
