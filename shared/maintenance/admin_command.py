"""The command `stemqueue-admin`: operators use it to control a running system. It needs only Redis and storage."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TextIO

import click

from shared.api_keys import SCOPES, ApiKeys
from shared.batches.store import BatchStore
from shared.errors import StemqueueError
from shared.jobs.store import JobStore
from shared.maintenance.batch_rebuild import BatchRebuild
from shared.maintenance.garbage_collector import Collection, Collector
from shared.maintenance.job_rebuild import rebuild_jobs
from shared.maintenance.owner_usage import read_usage
from shared.maintenance.record_schemas import RecordSchemas
from shared.parsing.stored_records import SCHEMA_VERSION
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings, read_settings
from shared.storage.object_storage import ObjectStorage

REBUILD_SECONDS = 3 * 3600.0
"""The longest time for which `rebuild` keeps workers from processing batches.

If `rebuild` is interrupted, batches wait for this time, or until `rebuild` has been run again.
"""


class AdminCommands(click.Group):
    """A group of commands that prints an error as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StemqueueError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=AdminCommands)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Show and pause queues, manage API keys, collect garbage, restore records."""
    ctx.obj = read_settings("stemqueue-admin")


@main.command()
@click.argument("engine")
@click.pass_obj
def pause(settings: Settings, engine: str) -> None:
    """Start no more queued jobs of ENGINE. Running jobs continue; new jobs are still accepted."""
    JobQueue(settings).pause(engine)
    click.echo(f"{engine}: paused")


@main.command()
@click.argument("engine")
@click.pass_obj
def drain(settings: Settings, engine: str) -> None:
    """Accept no new jobs for ENGINE. Queued jobs are still processed."""
    JobQueue(settings).drain(engine)
    click.echo(f"{engine}: draining")


@main.command()
@click.argument("engine")
@click.pass_obj
def resume(settings: Settings, engine: str) -> None:
    """End `pause` and `drain` for ENGINE."""
    JobQueue(settings).resume(engine)
    click.echo(f"{engine}: running")


@main.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show the number of jobs in each state, the queues and the live workers."""
    for state, count in sorted(QueueStatistics(settings).jobs_by_state().items()):
        click.echo(f"{state:10} {count}")
    for line in JobQueue(settings).queue_lengths():
        stopped = " paused" * line.paused + " draining" * line.draining
        click.echo(f"queue {line.engine} {line.priority}: {line.waiting} waiting{stopped}")
    for worker in WorkerRegistry(settings).live_workers():
        waits = f"; waiting for storage: {worker.fault}" if worker.fault else ""
        click.echo(f"worker {worker.id}: {worker.slots} slots, {', '.join(worker.engines)}{waits}")


@main.command()
@click.argument("origins", nargs=-1, required=True)
@click.pass_obj
def cors(settings: Settings, origins: tuple[str, ...]) -> None:
    """Allow web pages of ORIGINS (such as https://app.example) to access the bucket.

    The storage needs a public address, and the S3 key must be allowed to configure the bucket.
    """
    ObjectStorage(settings).allow_origins(origins)
    click.echo(f"{settings.s3_bucket}: {', '.join(origins)}")


@main.command()
@click.pass_obj
def collect(settings: Settings) -> None:
    """Run garbage collection now: delete stored objects that no job needs."""
    done = Collector(settings, ObjectStorage(settings)).collect(now=True) or Collection()
    for name, number in asdict(done).items():
        click.echo(f"{name.replace('_', ' ')}: {number}")


@main.command(name="rebuild")
@click.pass_obj
def rebuild_records(settings: Settings) -> None:
    """Restore the records of batches and ended jobs from storage, after Redis lost its data."""
    store, storage = JobStore(settings), ObjectStorage(settings)
    batches = BatchStore(settings)
    rebuild = BatchRebuild(batches, storage)
    held = rebuild.stored_ids()
    rebuild.hold(held, REBUILD_SECONDS)
    restored_batches = Counter(was_restored for _, was_restored in rebuild.restore_all())
    click.echo(f"{restored_batches[True]} batches restored, {restored_batches[False]} already in Redis")
    restored = known = 0
    for _, was_restored in rebuild_jobs(store, storage, batches.holds_job):
        restored += was_restored
        known += not was_restored
    rebuild.hold(held, 0)
    Collector(settings, storage).adopt_storage_instance()
    click.echo(f"{restored} jobs restored, {known} already in Redis")


@main.command()
@click.pass_obj
def records(settings: Settings) -> None:
    """After a return to an older version, list the records that only the newer version can read.

    Exit code 1 if there are any. This version neither runs nor shows their jobs and batches. The records stay
    unchanged until the newer version runs again.
    """
    newer = list(RecordSchemas(settings).newer())
    for record in newer:
        click.echo(f"{record.kind} {record.id}: schema {record.schema} {record.state}".rstrip())
    click.echo(f"{len(newer)} records are newer than schema {SCHEMA_VERSION}, which this version reads")
    if newer:
        raise click.exceptions.Exit(1)


@main.command()
@click.pass_obj
def owners(settings: Settings) -> None:
    """Show the usage of each owner: queued jobs, storage, Redis, seconds of audio today. Most queued jobs first."""
    for usage in read_usage(settings):
        click.echo(
            f"{usage.owner}: {usage.queued} queued, {usage.stored_bytes / 1e6:.1f} MB stored, "
            f"{usage.record_bytes / 1e6:.3f} MB of Redis, {usage.audio_seconds_today:.0f} s of audio today"
        )


@main.group()
def keys() -> None:
    """Create, list, revoke, export and import API keys."""


@keys.command(name="create")
@click.option(
    "--owner",
    default="local",
    show_default=True,
    help="Name of the owner. The key creates and sees only jobs of this owner.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(list(SCOPES)),
    help="What the key may do; repeatable. Default: submit and read.",
)
@click.option("--label", default="", help="A note that says what the key is for.")
@click.pass_obj
def create_key(settings: Settings, owner: str, scopes: tuple[str, ...], label: str) -> None:
    """Create a key and print it. It cannot be shown again, because only its digest is stored."""
    try:
        key, text = ApiKeys(settings).create(owner=owner, scopes=scopes or ("submit", "read"), label=label)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(text)
    click.echo(f"key {key.id} of {key.owner}: {', '.join(sorted(key.scopes))}", err=True)


@keys.command(name="list")
@click.pass_obj
def list_keys(settings: Settings) -> None:
    """List the keys: id, owner, scopes, date of creation, label."""
    for key in ApiKeys(settings).list():
        day = datetime.fromtimestamp(key.created_at, UTC).date()
        click.echo(f"{key.id}  {key.owner}  {','.join(sorted(key.scopes))}  {day}  {key.label}".rstrip())


@keys.command(name="export")
@click.pass_obj
def export_keys(settings: Settings) -> None:
    """Print all keys as JSON lines, for a backup. They contain only digests, so nobody can call the API with them."""
    for record in ApiKeys(settings).export():
        click.echo(json.dumps(record))


@keys.command(name="import")
@click.argument("file", type=click.File("r", encoding="utf-8"), default="-")
@click.pass_obj
def import_keys(settings: Settings, file: TextIO) -> None:
    """Restore the keys that `export` printed, from FILE or from standard input. Existing keys are not changed.

    A key that was revoked after the export is valid again after the import. Revoke it again. A line that is no valid
    key is reported, and the others are restored.
    """
    stored, restored, known, invalid = ApiKeys(settings), 0, 0, 0
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            was_restored = stored.restore(json.loads(line))
        except ValueError as error:
            click.echo(f"line {number}: {error}", err=True)
            invalid += 1
            continue
        restored += was_restored
        known += not was_restored
    click.echo(f"{restored} keys restored, {known} already in Redis")
    if invalid:
        raise click.ClickException(f"{invalid} lines are no valid keys and were not restored")


@keys.command(name="revoke")
@click.argument("key_id")
@click.pass_obj
def revoke_key(settings: Settings, key_id: str) -> None:
    """Revoke the key KEY_ID. It stops working within a few seconds."""
    if not ApiKeys(settings).revoke(key_id):
        raise click.ClickException(f"There is no key {key_id}.")
    click.echo(f"{key_id}: revoked")


if __name__ == "__main__":
    main(prog_name="stemqueue-admin")
