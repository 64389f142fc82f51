"""`stemqueue catalog`: the commands about runs and batches. `run` itself is in run_command.py."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import click
import httpx2

from api.client.batches import Batch
from api.client.catalog.run import OtherRunError
from api.client.catalog.run_command import EXIT_CODES, INTERRUPTED, run_catalog
from api.client.catalog.run_state import RunState
from api.client.catalog.tracks.items import SourceError
from api.client.catalog.tracks.sources import STATE_FOLDER
from api.client.errors import ApiError
from api.client.http_client import Client
from api.client.options import printable
from api.client.terminal import table


class CatalogCommands(click.Group):
    """A group of commands that turn expected errors into one line on standard error."""

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


@click.group(cls=CatalogCommands, epilog=EXIT_CODES)
def catalog() -> None:
    """Separate whole catalogs: many songs in one run that can be stopped and resumed."""


catalog.add_command(run_catalog)


@catalog.command()
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON, one batch per line.")
@click.pass_obj
def status(client: Client, run_or_batch: str, as_json: bool) -> None:
    """Show the state of the run in the folder OUT, or of one batch."""
    _print_batches([client.batches.read(i) for i in _batch_ids(run_or_batch)], as_json=as_json)


@catalog.command()
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.pass_obj
def report(client: Client, run_or_batch: str, form: str) -> None:
    """Print the server's report, with one row for each track."""
    for number, batch_id in enumerate(_batch_ids(run_or_batch)):
        text = client.batches.report(batch_id, form)
        # Print the heading once.
        click.echo(text.partition("\n")[2] if number and form == "csv" else text, nl=False)


@catalog.command()
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON, one batch per line.")
@click.pass_obj
def cancel(client: Client, run_or_batch: str, as_json: bool) -> None:
    """Cancel all batches of the run in OUT, or one batch. Tracks that have ended keep their stems."""
    batches = [client.batches.read(i) for i in _batch_ids(run_or_batch)]
    _print_batches([b if b.ended else client.batches.cancel(b.id) for b in batches], as_json=as_json)


@catalog.command("retry-failed")
@click.argument("run_or_batch", metavar="OUT|BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON, one batch per line.")
@click.pass_obj
def retry_failed(client: Client, run_or_batch: str, as_json: bool) -> None:
    """Run the failed and canceled tracks again. `run --resume` then waits for them and downloads their stems."""
    if not Path(run_or_batch).is_dir():
        _print_batches([client.batches.retry_failed(run_or_batch)], as_json=as_json)
        return
    with RunState(Path(run_or_batch).resolve(), writes=True) as state:
        batches = []
        for batch in state.find_batches("id IS NOT NULL"):
            if state.find_items("batch = ? AND state IN ('failed', 'canceled')", batch["number"], limit=1):
                batches.append(_retry_failed(client, batch["id"]))
                state.reopen_batch(batch["number"])
        # Files that were never uploaded are uploaded again.
        state.reopen_files()
    _print_batches(batches, as_json=as_json)


@catalog.command()
@click.argument("batch_id", metavar="BATCH_ID")
@click.option("--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON.")
@click.pass_obj
def rerun(client: Client, batch_id: str, as_json: bool) -> None:
    """Separate the tracks again that another version of their engine separated. Old stems stay until new ones exist."""
    _print_batches([client.batches.rerun(batch_id)], as_json=as_json)


@catalog.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one batch per line.")
@click.pass_obj
def list_batches(client: Client, limit: int, as_json: bool) -> None:
    """Show the newest batches."""
    _print_batches(list(client.batches.newest(limit)), as_json=as_json)


def _retry_failed(client: Client, batch_id: str) -> Batch:
    """Retry the failed items of a batch, if it has any; return the batch."""
    try:
        return client.batches.retry_failed(batch_id)
    except ApiError as error:
        if error.status != httpx2.codes.CONFLICT:
            raise
        # No item failed on the server. The failures are downloads, which the next run repeats.
        return client.batches.read(batch_id)


def _batch_ids(run_or_batch: str) -> list[str]:
    """Return the ids of a run's batches, or the one id that is given."""
    if not Path(run_or_batch).is_dir():
        return [run_or_batch]
    with RunState(Path(run_or_batch).resolve(), writes=False) as state:
        return [row["id"] for row in state.find_batches("id IS NOT NULL")]


def _print_batches(batches: list[Batch], *, as_json: bool) -> None:
    if as_json:
        for batch in batches:
            click.echo(json.dumps(batch.raw, ensure_ascii=False))
        return
    states = ("waiting", "queued", "running", "succeeded", "failed", "canceled", "invalid")
    rows = [
        (b.id, printable(b.name or ""), b.state, str(b.total), *(str(b.counts.get(name, 0)) for name in states))
        for b in batches
    ]
    click.echo(table(("id", "name", "state", "total", *states), rows))
