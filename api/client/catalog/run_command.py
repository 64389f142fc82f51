"""`stemqueue catalog run`: its options, its exit codes, and what it prints. run.py does the work."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from api.client.catalog.display import RunDisplay
from api.client.catalog.report import NAME, write_report
from api.client.catalog.run import PATIENCE_SECONDS, CatalogRun, RunOptions, RunSummary, begin_run
from api.client.catalog.run_state import RunState
from api.client.catalog.tracks.left_out import REASONS
from api.client.catalog.tracks.sources import STATE_FOLDER, find_source, no_songs_error
from api.client.errors import ApiError, ConnectionFailedError
from api.client.http_client import Client
from api.client.options import PRIORITIES, job_options, printable
from api.client.progress import clock
from shared.audio.mixes import mix_json
from shared.batches.manifest_fields import split_s3
from shared.parsing.file_names import readable_name

SOME_FAILED, INTERRUPTED = 5, 130

EXIT_CODES = """Exit code 0: all tracks succeeded; 1: the server refused, or an error stopped the command; 2: the
command line is wrong; 4: no server answers; 5: done, but some tracks failed; 130: stopped by Ctrl-C."""


@click.command("run", epilog=EXIT_CODES)
@click.argument("source", metavar="FOLDER|MANIFEST|S3://BUCKET/PREFIX")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the stems and the report.",
)
@job_options
@click.option("--resume", is_flag=True, help="Continue the run in --out; start a new one if there is none.")
@click.option("--no-download", is_flag=True, help="Do not download the stems; they stay on the server.")
@click.option("--export", metavar="S3://BUCKET/PREFIX", help="Let the server copy the stems to this bucket.")
@click.option("--export-template", help="Name of each exported copy; {track}/{stem}.{format} by default.")
@click.option("--priority", type=click.Choice(PRIORITIES), help="Priority of the jobs; bulk by default.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="Number of files that are transferred at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def run_catalog(
    ctx: click.Context,
    /,
    *,
    source: str,
    out: Path,
    resume: bool,
    no_download: bool,
    parallel: int,
    as_json: bool,
    **batch_options: Any,
) -> None:
    """Separate all songs in FOLDER, in MANIFEST (JSON lines, CSV or a list), or in a bucket.

    The stems go to OUT/<track>/. OUT/report.csv has a row for each track. Ctrl-C stops the run at any time. The server
    finishes the songs that it has received, and --resume continues the run.
    """
    client: Client = ctx.obj
    found = find_source(source)
    if found.folder == out.resolve():
        raise click.UsageError("--out is the folder of the songs. Choose another folder for the stems.", ctx=ctx)
    if not (out / STATE_FOLDER).exists():
        found.demand_songs(besides=out.resolve())
    out.mkdir(parents=True, exist_ok=True)
    # Fail soon if there is no server; later calls retry for longer.
    client.engines()
    client.patience_seconds = max(client.patience_seconds, PATIENCE_SECONDS)
    batch = _batch_request(found.location, batch_options)
    options = RunOptions(found, out.resolve(), batch, not no_download, parallel)
    with RunState(options.out, writes=True) as state:
        with _report_when_stopped(ctx, state, options.out):
            options = begin_run(state, options, resume=resume)
            with RunDisplay() as display:
                work = CatalogRun(client, state, options, display)
                work.run_to_end()
        summary = work.summary()
        if not summary.progress.total:
            # The prefix contains no songs and may be mistyped, so the next run starts from the beginning.
            state.clear()
            raise no_songs_error(found.location)
    _print_summary(summary, as_json=as_json)
    ctx.exit(SOME_FAILED if summary.progress.failed else 0)


@contextmanager
def _report_when_stopped(ctx: click.Context, state: RunState, out: Path) -> Iterator[None]:
    """Write the report if the run is interrupted or ends in an error, and say how to continue it."""
    try:
        yield
    except KeyboardInterrupt:
        write_report(state, out)
        click.echo("Stopped. Songs that were sent are still being separated; --resume continues this run.", err=True)
        ctx.exit(INTERRUPTED)
    except (ApiError, ConnectionFailedError, OSError, sqlite3.Error) as error:
        with suppress(OSError, sqlite3.Error):
            write_report(state, out)
        click.echo("Stopped by an error; --resume continues this run.", err=True)
        if isinstance(error, OSError) and error.filename is None:
            # The error of a full disk does not name the file.
            error.filename = str(out)
        if isinstance(error, sqlite3.Error):
            raise click.ClickException(f"The run's state in {out} cannot be used: {error}.") from error
        raise


def _batch_request(location: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for each batch, without its tracks."""
    excerpt, stems = options["excerpt"], options["stems"]
    defaults = {name: options[name] for name in ("engine", "preset", "format", "audio_stream", "then") if options[name]}
    if excerpt:
        defaults["excerpt"] = {name: value for name, value in vars(excerpt).items() if value is not None}
    if stems is not None:
        defaults["stems"] = stems
    if encoding := {name: options[name] for name in ("bit_depth", "bitrate_kbps") if options[name] is not None}:
        defaults["format_options"] = encoding
    if options["mixes"]:
        defaults["mixes"] = [mix_json(mix) for mix in options["mixes"]]
    request: dict[str, Any] = {"name": readable_name(Path(location).name or location)}
    if defaults:
        request["defaults"] = defaults
    if options["priority"]:
        request["priority"] = options["priority"]
    if options["export"]:
        try:
            bucket, prefix = split_s3(options["export"])
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--export") from error
        request["export"] = {"bucket": bucket, "prefix": prefix}
        if options["export_template"]:
            request["export"]["template"] = options["export_template"]
    return request


def _print_summary(summary: RunSummary, *, as_json: bool) -> None:
    progress = summary.progress
    if as_json:
        members = {
            **asdict(progress),
            "seconds": round(summary.seconds, 3),
            "songs_an_hour": round(summary.songs_an_hour, 3),
            "left_out": {reason: files for reason, (files, _) in summary.left_out.items()},
            "report": str(summary.report),
        }
        click.echo(json.dumps(members))
        return
    for track, code, message in summary.failures:
        # The message of a line without a track begins with its line number, which stands for the track already.
        reason = printable(message.removeprefix(f"{track}: "))
        click.echo(f"failed: {printable(track)}: {reason} ({code})")
    if progress.failed > len(summary.failures):
        click.echo(f"… and {progress.failed - len(summary.failures)} more: see {NAME}")
    for reason, (files, paths) in summary.left_out.items():
        named = printable(", ".join(paths))
        click.echo(f"left out: {files} {'file' if files == 1 else 'files'}, {REASONS.get(reason, reason)}: {named}")
    click.echo(
        f"{progress.done} of {progress.total} done, {progress.failed} failed, in {clock(summary.seconds)}"
        f" ({summary.songs_an_hour:.0f} songs an hour); {readable_name(str(summary.report))}"
    )
