"""Runs a catalog: uploads, batches and downloads at the same time, until every track has ended and its stems are here.

The loop runs in one thread, the only one that uses the state; background threads only wait for the network. However
the run ends, the state records what was done, and the next run continues from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.client.catalog.background_calls import FinishedCalls
from api.client.catalog.batch_progress import BatchPoller
from api.client.catalog.display import RunDisplay, RunProgress
from api.client.catalog.downloading import StemDownloads
from api.client.catalog.report import write_report
from api.client.catalog.run_state import RunState
from api.client.catalog.tracks.left_out import LeftOutPath, of_batches, summarise
from api.client.catalog.tracks.sources import CatalogSource, no_songs_error
from api.client.catalog.uploading import BatchCreation, FileUploads
from api.client.errors import ClientError
from api.client.http_client import Client

TICK_SECONDS = 0.25
"""How long the loop waits for a background call to end before it looks at the clock again."""

PATIENCE_SECONDS = 7200.0
"""How long requests are retried while the server is unreachable or overloaded, so that a run survives restarts, full
queues, and an hour without Redis or storage. Raising it delays the end of a run whose server is gone for good."""

RUN_OPTIONS = "wish"
"""The name under which the state keeps the options of a run."""


class OtherRunError(ClientError):
    """The output folder contains a run with another source or other options."""


@dataclass(frozen=True)
class RunOptions:
    """The options of a run. `batch` is the request for each of its batches, without the tracks."""

    source: CatalogSource
    out: Path
    batch: Mapping[str, Any]
    download: bool = True
    threads: int = 4


@dataclass(frozen=True)
class RunSummary:
    """The result of a run. `failures` are track, code and message of the first failed tracks."""

    progress: RunProgress
    seconds: float
    songs_an_hour: float
    report: Path
    failures: tuple[tuple[str, str, str], ...]
    left_out: Mapping[str, tuple[int, list[str]]]
    """For each reason the number of files that were not taken as songs, and a few of their paths."""


def begin_run(state: RunState, options: RunOptions, *, resume: bool) -> RunOptions:
    """Record the tracks of a new or resumed run. Return its options: for a resumed run those that it began with.

    Raises OtherRunError, SourceError, OSError.
    """
    before = state.value(RUN_OPTIONS)
    if before and not state.has_sent() and (not resume or before["source"] != options.source.location):
        # The server has received nothing of the earlier run, for example because an engine's name was mistyped.
        state.clear()
        before = None
    if before is not None:
        if not resume:
            raise OtherRunError(f"{options.out} already contains a run; --resume continues it.")
        if before["source"] != options.source.location:
            raise OtherRunError(f"{options.out} contains a run of {before['source']}.")
        if _is_part_of(options.batch, before["batch"]):
            options = replace(options, batch=before["batch"])
        elif state.find_batches():
            raise OtherRunError(f"{options.out} contains a run that was started with other options.")
    left_out: list[LeftOutPath] = []
    state.add_items(options.source.tracks(besides=options.out, left_out=left_out))
    if not options.source.prefix:
        state.set_left_out(left_out)
    if not options.source.prefix and not state.count_by_state():
        raise no_songs_error(options.source.location)
    # If no batch exists yet, the user may still change the options.
    state.set_values({RUN_OPTIONS: {"source": options.source.location, "batch": options.batch}})
    return options


def _is_part_of(asked: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Return whether every option that is given now had the same value before. Options that are left out stay."""
    return all(
        _is_part_of(value, before.get(name, {})) if isinstance(value, dict) else before.get(name) == value
        for name, value in asked.items()
    )


class CatalogRun:
    """One run, after `begin_run`."""

    def __init__(self, client: Client, state: RunState, options: RunOptions, display: RunDisplay) -> None:
        finished = self._finished = FinishedCalls()
        self._client, self._state, self._options, self._display = client, state, options, display
        self._uploads = FileUploads(client, state, finished, threads=options.threads)
        self._batches = BatchCreation(client, state, finished, options.batch)
        if options.source.prefix:
            bucket, prefix = options.source.prefix
            self._batches.prefix = {"bucket": bucket, "prefix": prefix}
        self._poller = BatchPoller(client, state, finished)
        self._downloads = (
            StemDownloads(client, state, finished, out=options.out, threads=options.threads)
            if options.download
            else None
        )

    def run_to_end(self) -> None:
        """Return when every track has ended and its stems are downloaded."""
        if self._downloads:
            self._downloads.find_deleted_files()
        while True:
            self._start_calls()
            self._display.show(self.progress(), self._client.trouble)
            if self._is_done():
                return
            self._finished.handle_all(TICK_SECONDS)

    def summary(self) -> RunSummary:
        """Write the report and return the result."""
        progress = self.progress()
        if self._options.source.prefix:
            # The server lists a prefix, and each batch of such a run has the whole of it.
            self._state.set_left_out(of_batches([self._client.batches.read(b).raw for b in self._batch_ids()[-1:]]))
        failed = self._state.find_items("state IN ('failed', 'canceled', 'invalid')", limit=10)
        return RunSummary(
            progress=progress,
            seconds=self._display.elapsed_seconds,
            songs_an_hour=self._display.songs_an_hour(progress),
            report=write_report(self._state, self._options.out),
            left_out=summarise(self._state.left_out()),
            failures=tuple((r["track"], r["code"] or r["state"], r["message"] or "") for r in failed),
        )

    def progress(self) -> RunProgress:
        """Return how many tracks are in each state."""
        counts = self._state.count_by_state()
        downloaded, listed = counts.pop("fetched", 0), sum(counts.values())
        return RunProgress(
            total=listed + self._poller.unlisted_tracks,
            uploading=counts.get("new", 0),
            running=self._poller.running_tracks,
            done=downloaded if self._downloads else counts.get("succeeded", 0),
            failed=sum(counts.get(state, 0) for state in ("failed", "canceled", "invalid")),
        )

    def _batch_ids(self) -> list[str]:
        return [row["id"] for row in self._state.find_batches("id IS NOT NULL")]

    def _start_calls(self) -> None:
        if self._poller.must_upload_again and self._uploads.is_done:
            self._poller.must_upload_again = False
            self._uploads.start_over()
        self._uploads.start_uploads()
        self._batches.create_next_batch(uploads_done=self._uploads.is_done)
        self._poller.poll_next_batch()
        if self._downloads:
            self._downloads.start_downloads()

    def _is_done(self) -> bool:
        return (
            self._uploads.is_done
            and self._batches.is_done
            and self._poller.is_done
            and not self._poller.must_upload_again
            and (self._downloads is None or self._downloads.is_done)
        )
