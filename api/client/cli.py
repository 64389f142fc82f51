"""The command `stemqueue`: jobs from the shell.

Exit code 0: done; 1: the job failed, or the server refused the request; 2: the command line is wrong; 3: the job had
not ended at the timeout; 4: no server answers; 5: some tracks of a catalog failed; 130: Ctrl-C. An error is one line on
standard error. `--json` prints output for programs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from api.client.catalog.commands import catalog
from api.client.catalog.run_command import INTERRUPTED
from api.client.errors import ApiError, ClientError, ConnectionFailedError
from api.client.http_client import Client, job_failure
from api.client.models import Engine, Job
from api.client.options import (
    PRIORITIES,
    encoding_options,
    job_options,
    mix_option,
    printable,
    source_of,
    source_options,
)
from api.client.progress import JobProgress
from api.client.run_song import run
from api.client.terminal import table
from shared.audio.formats import FORMATS
from shared.audio.mixes import Mix
from shared.audio.music_line import music_line


class Commands(click.Group):
    """The group of all commands. Expected errors end in one line on standard error, not in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except ApiError as error:
            request = f" (request {error.request_id})" if error.status >= 500 and error.request_id else ""
            raise click.ClickException(f"{error.detail}{request}") from error
        except ConnectionFailedError as error:
            raise NoServerError(str(error)) from error
        except ClientError as error:
            raise click.ClickException(str(error)) from error
        except TimeoutError as error:
            raise StillWaitingError(str(error)) from error
        except BrokenPipeError:
            # The reader of the output closed the pipe; click exits quietly.
            raise
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'A file'}: {error.strerror or error}") from error


class StillWaitingError(click.ClickException):
    """The job had not ended before the timeout."""

    exit_code = 3


class NoServerError(click.ClickException):
    """No server answers."""

    exit_code = 4


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON.")


def print_job(job: Job, *, as_json: bool) -> None:
    """Print a job as one line of text or as JSON."""
    click.echo(json.dumps(job.raw, indent=2, ensure_ascii=False) if as_json else describe(job))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url", envvar="STEMQUEUE_URL", show_envvar=True, help="URL of the server; http://127.0.0.1:8000 by default."
)
@click.option("--api-key", envvar="STEMQUEUE_API_KEY", show_envvar=True, help="API key, for servers that require one.")
@click.version_option(package_name="stemqueue")
@click.pass_context
def main(ctx: click.Context, url: str | None, api_key: str | None) -> None:
    """Separate songs into vocals and accompaniment on a stemqueue server."""
    ctx.obj = ctx.with_resource(Client(url, api_key=api_key))


main.add_command(catalog)
main.add_command(run)


@main.command()
@source_options
@job_options
@click.option(
    "--priority", type=click.Choice(PRIORITIES), help="interactive by default; bulk jobs wait for interactive ones."
)
@click.option("--webhook-url", help="URL to notify when the job ends.")
@as_json_option
@click.pass_obj
def submit(
    client: Client, /, song: Path | None, from_job: tuple[str, str] | None, as_json: bool, **wanted: Any
) -> None:
    """Submit SONG and print the job's id."""
    source = source_of(song, from_job)
    with JobProgress() as shown:
        job = client.submit(**source, **wanted, on_bytes=shown.show_upload)
    if as_json:
        print_job(job, as_json=True)
    else:
        click.echo(job.id)


@main.command()
@click.argument("job_id")
@as_json_option
@click.pass_obj
def status(client: Client, job_id: str, as_json: bool) -> None:
    """Show the state of a job."""
    print_job(client.job(job_id), as_json=as_json)


@main.command()
@click.argument("job_id")
@click.option(
    "--timeout", type=float, help="Longest wait in seconds. If the job has not ended by then, exit with code 3."
)
@as_json_option
@click.pass_obj
def wait(client: Client, job_id: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a job has ended. The exit code is 1 if it failed or was canceled."""
    with JobProgress() as shown:
        job = client.wait(job_id, timeout_seconds=timeout, on_change=shown.show_job)
    if as_json or job.state == "succeeded":
        print_job(job, as_json=as_json)
    if job.state != "succeeded":
        raise job_failure(job)


@main.command()
@click.argument("job_id")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Output folder; the current one by default.",
)
@click.pass_obj
def download(client: Client, job_id: str, out: Path) -> None:
    """Write a job's stems, mixes, beats, report and spectrogram into a folder."""
    with JobProgress() as shown:
        paths = client.download_job(client.job(job_id), out, on_bytes=shown.show_download)
    for path in paths:
        click.echo(os.fsencode(path))


@main.command()
@click.argument("job_id")
@mix_option
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    help="Format of the mixes; that of the stems by default.",
)
@encoding_options
@as_json_option
@click.pass_obj
def mix(
    client: Client,
    /,
    job_id: str,
    mixes: tuple[Mix, ...],
    format_name: str | None,
    as_json: bool,
    **encoding: int | None,
) -> None:
    """Make new mixes from the stems of a job that has succeeded, and print the new job's id.

    Nothing is separated again. With --format stem.mp4 and no --mix, make a stem file for DJ programs.
    """
    if not mixes and not (format_name and FORMATS[format_name].holds_stems):
        raise click.UsageError("Give at least one --mix.")
    job = client.mix(job_id, mixes, format=format_name, **encoding)
    if as_json:
        print_job(job, as_json=True)
    else:
        click.echo(job.id)


@main.command(name="list")
@click.option("--state", type=click.Choice(["queued", "running", "succeeded", "failed", "canceled"]))
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one job per line.")
@click.pass_obj
def list_jobs(client: Client, state: str | None, limit: int, as_json: bool) -> None:
    """Show the newest jobs."""
    jobs = client.jobs(state=state, limit=limit)
    if as_json:
        for job in jobs:
            click.echo(json.dumps(job.raw, ensure_ascii=False))
        return
    rows = [(job.id, job.state, f"{job.progress:.0%}", job.engine, printable(job.filename)) for job in jobs]
    click.echo(table(("id", "state", "progress", "engine", "song"), rows))


@main.command()
@click.argument("job_id")
@as_json_option
@click.pass_obj
def cancel(client: Client, job_id: str, as_json: bool) -> None:
    """Cancel a job and those after it in its chain, as far as they have not ended."""
    print_job(client.cancel(job_id), as_json=as_json)


@main.command()
@click.argument("job_id")
@as_json_option
@click.pass_obj
def retry(client: Client, job_id: str, as_json: bool) -> None:
    """Run a failed or canceled job again."""
    print_job(client.retry(job_id), as_json=as_json)


@main.command()
@click.argument("job_id")
@click.pass_obj
def delete(client: Client, job_id: str) -> None:
    """Delete an ended job and its stems."""
    client.delete(job_id)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one engine per line.")
@click.pass_obj
def engines(client: Client, as_json: bool) -> None:
    """Show the server's engines."""
    for engine in client.engines():
        if as_json:
            click.echo(json.dumps(engine.raw, ensure_ascii=False))
            continue
        click.echo(f"{engine.name}{' (default)' if engine.is_default else ''}: {engine.summary}")
        click.echo(f"  presets: {', '.join(engine.presets)}; stems: {', '.join(engine.stems)}")
        for fact in facts_about(engine):
            click.echo(f"  {fact}")


def facts_about(engine: Engine) -> list[str]:
    """Return lines about an engine's speed, author and licence, as far as the server knows them."""
    raw = engine.raw
    speed = raw.get("real_time_factor")
    return [
        *([f"a minute of audio takes about {60 / speed:.2g} s with two processors"] if speed else []),
        *([f"by {raw['author']}"] if raw.get("author") else []),
        *([f"licence: {raw['licence']}"] if raw.get("licence") else []),
    ]


def describe(job: Job) -> str:
    """Return a job as one line of text."""
    parts = [job.id, job.state]
    if job.state == "running":
        parts += [job.stage or "", f"{job.progress:.0%}"]
    if job.queue_position:
        parts.append(f"position {job.queue_position} in the queue")
    if job.waiting_for:
        parts.append(f"waiting for the {job.waiting_for}")
    if not job.ended and job.eta_seconds is not None:
        parts.append(f"about {job.eta_seconds:.0f} s left")
    parts.append(music_line(job.music))
    if job.error:
        parts.append(printable(job.error.message))
    return "  ".join(part for part in [*parts, printable(job.filename)] if part)
