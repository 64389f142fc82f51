"""`stemqueue catalog`: options, exit codes, and what is printed. What is done is run.py's matter."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import httpx2

from api.client.batches import Batch
from api.client.catalog.display import RunDisplay
from api.client.catalog.items import SourceError
from api.client.catalog.report import NAME, write_report
from api.client.catalog.run import PATIENCE_SECONDS, CatalogRun, Ending, OtherRunError, Wish, begin
from api.client.catalog.run_state import RunState
from api.client.catalog.sources import STATE_FOLDER, find_source, no_songs
from api.client.errors import ApiError, ConnectionFailedError
from api.client.http_client import Client
from api.client.options import printable, wishes
from api.client.progress import clock
from api.client.terminal import table
from shared.batches.manifest_fields import split_s3

SOME_FAILED, INTERRUPTED = 5, 130


class CatalogCommands(click.Group):
    """Commands whose errors end in one line, never in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except (SourceError, OtherRunError) as error:
            raise click.UsageError(str(error), ctx=ctx) from error
        except sqlite3.Error as error:
            raise click.ClickException(f"The run's state in {STATE_FOLDER} cannot be used: {error}.") from error


EXIT_CODES = """Exit code 0: all done; 1: the server refused, or something here failed; 2: the command line is wrong;
4: no server answers; 5: done, but some tracks failed; 130: stopped by Ctrl-C."""


@click.group(cls=CatalogCommands, epilog=EXIT_CODES)
def catalog() -> None:
    """Separate whole catalogs: many songs in one run that can be stopped and resumed."""


out_option = click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for stems and the report."
)


@catalog.command(epilog=EXIT_CODES)
@click.argument("source", metavar="FOLDER|MANIFEST|S3://BUCKET/PREFIX")
@out_option
@wishes
@click.option("--stems", help="Stems to keep, separated by commas; all of the engine's by default.")
@click.option("--resume", is_flag=True, help="Continue the run in --out, or start one.")
@click.option("--no-download", is_flag=True, help="Leave the stems on the server.")
@click.option("--export", metavar="S3://BUCKET/PREFIX", help="Have the server copy the stems there.")
@click.option("--export-template", help="Names of the copies; {track}/{stem}.{format} by default.")
@click.option("--priority", type=click.Choice(["interactive", "bulk"]), help="Priority of the jobs; bulk by default.")
@click.option("--parallel", type=click.IntRange(1, 32), default=4, show_default=True, help="Files transferred at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    source: str,
    out: Path,
    resume: bool,
    no_download: bool,
    parallel: int,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Separate all songs below FOLDER, of MANIFEST (JSON lines or CSV), or of a bucket.

    Stems are written to OUT/<track>/, and a row for each track to OUT/report.csv. Ctrl-C stops the run at any time;
    the server finishes what was sent, and --resume continues the run.
    """
    client: Client = ctx.obj
    found = find_source(source)
    if found.folder == out.resolve():
        raise click.UsageError("Stems cannot go among the songs: --out is the catalog itself.", ctx=ctx)
    if not (out / STATE_FOLDER).exists():
        found.demand_songs(besides=out.resolve())
    out.mkdir(parents=True, exist_ok=True)
    # Whether there is a server at all shows sooner than what becomes of it.
    client.engines()
    client.patience_seconds = max(client.patience_seconds, PATIENCE_SECONDS)
    wish = Wish(found, out.resolve(), _batch(found.location, wanted), not no_download, parallel)
    with RunState(wish.out, writes=True) as state:
        try:
            wish = begin(state, wish, resume=resume)
            with RunDisplay() as display:
                work = CatalogRun(client, state, wish, display)
                work.work()
        except KeyboardInterrupt:
            write_report(state, wish.out)
            click.echo(
                "Stopped. Songs that were sent are still being separated; --resume continues this run.", err=True
            )
            ctx.exit(INTERRUPTED)
        except (ApiError, ConnectionFailedError, OSError, sqlite3.Error) as error:
            with suppress(OSError, sqlite3.Error):
                write_report(state, wish.out)
            click.echo("Stopped by an error; --resume continues this run.", err=True)
            if isinstance(error, OSError) and error.filename is None:
                # The system does not say which file it was that a full disk had no room for.
                error.filename = str(wish.out)
            if isinstance(error, sqlite3.Error):
                raise click.ClickException(f"The run's state in {wish.out} cannot be used: {error}.") from error
            raise
        ending = work.ending()
        if not ending.standing.total:
            # The name of a bucket's folder is soon mistyped.
            state.forget()
            raise no_songs(found.location)
    _tell(ending, as_json=as_json)
    ctx.exit(SOME_FAILED if ending.standing.failed else 0)


@catalog.command()
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON, one batch per line.")
@click.pass_obj
def status(client: Client, run_or_batch: str, as_json: bool) -> None:
    """Show the state of a run or a batch."""
    _show([client.batches.read(i) for i in _batch_ids(run_or_batch)], as_json=as_json)


@catalog.command()
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.pass_obj
def report(client: Client, run_or_batch: str, form: str) -> None:
    """Print the server's report: a row for each track, batch after batch."""
    for number, batch_id in enumerate(_batch_ids(run_or_batch)):
        text = client.batches.report(batch_id, form)
        # One heading is enough.
        click.echo(text.partition("\n")[2] if number and form == "csv" else text, nl=False)


@catalog.command()
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON, one batch per line.")
@click.pass_obj
def cancel(client: Client, run_or_batch: str, as_json: bool) -> None:
    """Cancel a run's batches, or one batch; finished tracks keep their stems."""
    batches = [client.batches.read(i) for i in _batch_ids(run_or_batch)]
    _show([b if b.ended else client.batches.cancel(b.id) for b in batches], as_json=as_json)


@catalog.command("retry-failed")
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON, one batch per line.")
@click.pass_obj
def retry_failed(client: Client, run_or_batch: str, as_json: bool) -> None:
    """Queue the failed tracks again; `run --resume` then waits for them."""
    if not Path(run_or_batch).is_dir():
        _show([client.batches.retry_failed(run_or_batch)], as_json=as_json)
        return
    with RunState(Path(run_or_batch).resolve(), writes=True) as state:
        shown = []
        for batch in state.batches("id IS NOT NULL"):
            if state.items("batch = ? AND state IN ('failed', 'canceled')", batch["number"], limit=1):
                shown.append(_retried(client, batch["id"]))
                state.reopen_batch(batch["number"])
        # What never reached a batch is tried again from the start.
        state.reopen_files()
    _show(shown, as_json=as_json)


@catalog.command()
@click.argument("batch_id", metavar="BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON.")
@click.pass_obj
def rerun(client: Client, batch_id: str, as_json: bool) -> None:
    """Separate again, on the server, what another version of the engine made; old stems stay until new ones exist."""
    _show([client.batches.rerun(batch_id)], as_json=as_json)


@catalog.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one batch per line.")
@click.pass_obj
def list_batches(client: Client, limit: int, as_json: bool) -> None:
    """Show the newest batches."""
    _show(list(client.batches.newest(limit)), as_json=as_json)


def _retried(client: Client, batch_id: str) -> Batch:
    try:
        return client.batches.retry_failed(batch_id)
    except ApiError as error:
        if error.status != httpx2.codes.CONFLICT:
            raise
        # Nothing of it failed there: its stems did not arrive here.
        return client.batches.read(batch_id)


def _batch(location: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each batch is asked for."""
    excerpt, stems = wanted["excerpt"], wanted["stems"]
    defaults = {name: wanted[name] for name in ("engine", "preset", "format", "audio_stream") if wanted[name]}
    if excerpt:
        defaults["excerpt"] = {name: value for name, value in vars(excerpt).items() if value is not None}
    if stems:
        defaults["stems"] = [name.strip() for name in stems.split(",") if name.strip()]
    asked: dict[str, Any] = {"name": Path(location).name or location}
    if defaults:
        asked["defaults"] = defaults
    if wanted["priority"]:
        asked["priority"] = wanted["priority"]
    if wanted["export"]:
        try:
            bucket, prefix = split_s3(wanted["export"])
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--export") from error
        asked["export"] = {"bucket": bucket, "prefix": prefix}
        if wanted["export_template"]:
            asked["export"]["template"] = wanted["export_template"]
    return asked


def _batch_ids(run_or_batch: str) -> list[str]:
    if not Path(run_or_batch).is_dir():
        return [run_or_batch]
    with RunState(Path(run_or_batch).resolve(), writes=False) as state:
        return [row["id"] for row in state.batches("id IS NOT NULL")]


def _show(batches: list[Batch], *, as_json: bool) -> None:
    if as_json:
        for batch in batches:
            click.echo(json.dumps(batch.raw, ensure_ascii=False))
        return
    shown = ("waiting", "queued", "running", "succeeded", "failed", "canceled", "invalid")
    rows = [
        (b.id, printable(b.name or ""), b.state, str(b.total), *(str(b.counts.get(name, 0)) for name in shown))
        for b in batches
    ]
    click.echo(table(("id", "name", "state", "total", *shown), rows))


def _tell(ending: Ending, *, as_json: bool) -> None:
    standing = ending.standing
    if as_json:
        told = {
            **asdict(standing),
            "seconds": round(ending.seconds, 3),
            "songs_an_hour": round(ending.songs_an_hour, 3),
        }
        click.echo(json.dumps({**told, "report": str(ending.report)}, ensure_ascii=False))
        return
    for track, code, message in ending.failures:
        # Of a line that has no track the message begins with what is told in its place.
        why = printable(message.removeprefix(f"{track}: "))
        click.echo(f"failed: {printable(track)}: {why} ({code})")
    if standing.failed > len(ending.failures):
        click.echo(f"… and {standing.failed - len(ending.failures)} more: see {NAME}")
    click.echo(
        f"{standing.done} of {standing.total} done, {standing.failed} failed, in {clock(ending.seconds)}"
        f" ({ending.songs_an_hour:.0f} songs an hour); {ending.report}"
    )
