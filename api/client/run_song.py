"""`stemqueue run`: separates one song, waits for the job and for those of its chain, and downloads the outputs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from api.client.errors import ApiError, ClientError, DownloadError
from api.client.files import free_folder
from api.client.http_client import Client, job_failure
from api.client.models import Job
from api.client.options import job_options, printable, source_of, source_options
from api.client.progress import JobProgress
from shared.audio.music_line import music_line


@click.command()
@source_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Output folder; stems/<song's name> by default, with a number if that folder already has files.",
)
@click.option("--url", "server", help="URL of the server, instead of the one from `stemqueue --url`.")
@job_options
@click.pass_context
def run(
    ctx: click.Context,
    /,
    song: Path | None,
    from_job: tuple[str, str] | None,
    out: Path | None,
    server: str | None,
    **wanted: Any,
) -> None:
    """Separate SONG on the server, wait until the job has ended, and download the stems."""
    source = source_of(song, from_job)
    client: Client = ctx.with_resource(Client(server)) if server else ctx.obj
    with JobProgress() as shown:
        job = client.submit(**source, **wanted, on_bytes=shown.show_upload)
        try:
            job = client.wait(job.id, on_change=shown.show_job)
            if job.state != "succeeded":
                raise job_failure(job)
            folder = out or free_folder(Path("stems"), song or Path(job.filename))
            paths = client.download_job(job, folder, on_bytes=shown.show_download)
            failures = _download_followers(client, job, folder, shown, paths)
        except KeyboardInterrupt:
            _cancel_chain(client, job)
            raise
    for path in paths:
        click.echo(os.fsencode(path))
    if line := music_line(job.music):
        click.echo(printable(line), err=True)
    for told, error in failures:
        click.echo(printable(f"{told}: {error}"), err=True)
    if failures:
        raise failures[0][1]


def _download_followers(
    client: Client, job: Job, folder: Path, shown: JobProgress, paths: list[Path]
) -> list[tuple[str, ClientError]]:
    """Wait for the jobs that continue a job, and write their stems into folders below its own.

    Adds the files to `paths`. Returns the jobs that failed, or whose stems cannot be downloaded, with their errors.
    """
    failures: list[tuple[str, ClientError]] = []
    for job_id, output in job.next_jobs:
        told = f"The job {job_id}, which continues {output}"
        try:
            follower = client.wait(job_id, on_change=shown.show_job)
            if follower.state != "succeeded":
                failures.append((told, job_failure(follower)))
                continue
            below = free_folder(folder, Path(output))
            paths += client.download_job(follower, below, on_bytes=shown.show_download)
        except (ApiError, DownloadError) as error:
            failures.append((told, error))
            continue
        failures += _download_followers(client, follower, below, shown, paths)
    return failures


def _cancel_chain(client: Client, job: Job) -> None:
    """Cancel a job and the later jobs of its chain."""
    # All of them may have ended.
    with suppress(ClientError):
        client.cancel(job.id)
