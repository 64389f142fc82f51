"""`stemqueue-admin`: what an operator does to a running system. Needs Redis and storage, nothing else.

Owns the command line alone; what it calls lies in api_keys.py, dispatcher.py, garbage_collector.py and archive.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime

import click

from shared.api_keys import SCOPES, ApiKeys
from shared.batches.store import BatchStore
from shared.errors import StemqueueError
from shared.jobs.store import JobStore
from shared.maintenance.batch_rebuild import BatchRebuild
from shared.maintenance.garbage_collector import Collection, Collector
from shared.maintenance.job_rebuild import rebuild_jobs
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings, read_settings
from shared.storage.object_storage import ObjectStorage


class Commands(click.Group):
    """Commands whose errors end in one line, never in a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StemqueueError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=Commands)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Pause queues, look at them, hand out API keys, collect garbage, restore records."""
    ctx.obj = read_settings("stemqueue-admin")


@main.command()
@click.argument("engine")
@click.pass_obj
def pause(settings: Settings, engine: str) -> None:
    """Start nothing more of ENGINE's line; what runs, runs on."""
    JobQueue(settings).pause(engine)
    click.echo(f"{engine}: paused")


@main.command()
@click.argument("engine")
@click.pass_obj
def drain(settings: Settings, engine: str) -> None:
    """Accept nothing more for ENGINE; what waits is still worked off."""
    JobQueue(settings).drain(engine)
    click.echo(f"{engine}: draining")


@main.command()
@click.argument("engine")
@click.pass_obj
def resume(settings: Settings, engine: str) -> None:
    """Lift pause and drain."""
    JobQueue(settings).resume(engine)
    click.echo(f"{engine}: running")


@main.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show jobs by state, queues, and live workers."""
    for state, count in sorted(QueueStatistics(settings).jobs_by_state().items()):
        click.echo(f"{state:10} {count}")
    for line in JobQueue(settings).lines():
        stopped = " paused" * line.paused + " draining" * line.draining
        click.echo(f"queue {line.engine} {line.priority}: {line.waiting} waiting{stopped}")
    for worker in WorkerRegistry(settings).live_workers():
        waits = f"; waits for the storage: {worker.fault}" if worker.fault else ""
        click.echo(f"worker {worker.id}: {worker.slots} slots, {', '.join(worker.engines)}{waits}")


@main.command()
@click.argument("origins", nargs=-1, required=True)
@click.pass_obj
def cors(settings: Settings, origins: tuple[str, ...]) -> None:
    """Let pages of ORIGINS (https://app.example) talk to a storage with a public address; needs an owner's key."""
    ObjectStorage(settings).allow_origins(origins)
    click.echo(f"{settings.s3_bucket}: {', '.join(origins)}")


@main.command()
@click.pass_obj
def collect(settings: Settings) -> None:
    """Remove what no job needs from storage, now."""
    done = Collector(settings, ObjectStorage(settings)).run(now=True) or Collection()
    for name, number in asdict(done).items():
        click.echo(f"{name.replace('_', ' ')}: {number}")


@main.command(name="rebuild")
@click.pass_obj
def rebuild_records(settings: Settings) -> None:
    """Restore the records of ended jobs from storage, after Redis was lost."""
    store, storage = JobStore(settings), ObjectStorage(settings)
    batches = BatchStore(settings)
    kept = Counter(was_restored for _, was_restored in BatchRebuild(batches, storage).run())
    click.echo(f"{kept[True]} batches restored, {kept[False]} known already")
    restored = known = 0
    for _, was_restored in rebuild_jobs(store, storage, batches.holds_job):
        restored += was_restored
        known += not was_restored
    Collector(settings, storage).adopt()
    click.echo(f"{restored} jobs restored, {known} known already")


@main.group()
def keys() -> None:
    """Make, show and revoke API keys."""


@keys.command(name="create")
@click.option("--owner", default="local", show_default=True, help="Whose jobs the key makes and sees.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(list(SCOPES)), help="Repeatable. [submit, read]")
@click.option("--label", default="", help="What the key is for, to be told apart by.")
@click.pass_obj
def create_key(settings: Settings, owner: str, scopes: tuple[str, ...], label: str) -> None:
    """Make a key and show it, this once: only a digest of it is kept."""
    try:
        key, text = ApiKeys(settings).create(owner=owner, scopes=scopes or ("submit", "read"), label=label)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(text)
    click.echo(f"key {key.id} of {key.owner}: {', '.join(sorted(key.scopes))}", err=True)


@keys.command(name="list")
@click.pass_obj
def list_keys(settings: Settings) -> None:
    """Show the keys: id, owner, scopes, day of creation, label."""
    for key in ApiKeys(settings).list():
        day = datetime.fromtimestamp(key.created_at, UTC).date()
        click.echo(f"{key.id}  {key.owner}  {','.join(sorted(key.scopes))}  {day}  {key.label}".rstrip())


@keys.command(name="revoke")
@click.argument("key_id")
@click.pass_obj
def revoke_key(settings: Settings, key_id: str) -> None:
    """End the key KEY_ID; it works for some seconds more at most."""
    if not ApiKeys(settings).revoke(key_id):
        raise click.ClickException(f"There is no key {key_id}.")
    click.echo(f"{key_id}: revoked")


if __name__ == "__main__":
    main(prog_name="stemqueue-admin")
