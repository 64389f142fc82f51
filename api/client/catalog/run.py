"""A run: uploads, batches and downloads side by side, until every track has ended and its stems are here.

The loop runs in one thread, the only one that touches the state; background threads only wait for the network.
However the run ends, the state records what was done, and the next run continues from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.client.catalog.background_calls import Results
from api.client.catalog.batch_progress import Following
from api.client.catalog.display import RunDisplay, Standing
from api.client.catalog.downloading import Fetching
from api.client.catalog.report import write_report
from api.client.catalog.run_state import RunState
from api.client.catalog.tracks.sources import Source, no_songs
from api.client.catalog.uploading import Submission, Uploads
from api.client.errors import ClientError
from api.client.http_client import Client

TICK_SECONDS = 0.25
"""How long the loop waits for something to happen before it looks at the clock."""

PATIENCE_SECONDS = 600.0
"""How long a run tries while the server is away or puts it off: restarts and full queues pass."""


class OtherRunError(ClientError):
    """The output folder holds a run that was asked for otherwise."""


@dataclass(frozen=True)
class Wish:
    """What a run is asked for. `batch` is what each of its batches is asked for, but for the tracks."""

    source: Source
    out: Path
    batch: Mapping[str, Any]
    download: bool = True
    threads: int = 4


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    standing: Standing
    seconds: float
    songs_an_hour: float
    report: Path
    failures: tuple[tuple[str, str, str], ...]
    """Track, code and sentence of the first that failed."""


def begin(state: RunState, wish: Wish, *, resume: bool) -> Wish:
    """Take up the tracks; return what the run is asked for, which is what it was begun with.

    Raises OtherRunError, SourceError, OSError.
    """
    before = state.told("wish")
    if before and not state.has_sent() and (not resume or before["source"] != wish.source.location):
        # Refused before anything of it came to the server, for a mistyped bucket or engine.
        state.forget()
        before = None
    if before is not None:
        if not resume:
            raise OtherRunError(f"{wish.out} already contains a run; --resume continues it.")
        if before["source"] != wish.source.location:
            raise OtherRunError(f"{wish.out} contains a run of {before['source']}.")
        if _is_part(wish.batch, before["batch"]):
            wish = replace(wish, batch=before["batch"])
        elif state.batches():
            raise OtherRunError(f"{wish.out} contains a run that was started with other options.")
    state.add(wish.source.items(besides=wish.out))
    if not wish.source.prefix and not state.counts():
        raise no_songs(wish.source.location)
    # What never came to be asked of the server may be mended.
    state.tell(wish={"source": wish.source.location, "batch": wish.batch})
    return wish


def _is_part(asked: Mapping[str, Any], of: Mapping[str, Any]) -> bool:
    """Return whether all that is asked for was asked for before; what is left out is as it was."""
    return all(
        _is_part(value, of.get(name, {})) if isinstance(value, dict) else of.get(name) == value
        for name, value in asked.items()
    )


class CatalogRun:
    """One run, from `begin` on."""

    def __init__(self, client: Client, state: RunState, wish: Wish, display: RunDisplay) -> None:
        results = self._results = Results()
        self._client, self._state, self._wish, self._display = client, state, wish, display
        self._uploads = Uploads(client, state, results, threads=wish.threads)
        self._submission = Submission(client, state, results, wish.batch)
        if wish.source.prefix:
            bucket, prefix = wish.source.prefix
            self._submission.prefix = {"bucket": bucket, "prefix": prefix}
        self._following = Following(client, state, results)
        self._fetching = Fetching(client, state, results, out=wish.out, threads=wish.threads) if wish.download else None

    def work(self) -> None:
        """Go on until all is done."""
        if self._fetching:
            self._fetching.look_again()
        while True:
            self._feed()
            self._display.show(self.standing(), self._client.trouble)
            if self._over():
                return
            self._results.settle(TICK_SECONDS)

    def ending(self) -> Ending:
        """Write the report, and return how it ended."""
        standing = self.standing()
        failed = self._state.items("state IN ('failed', 'canceled', 'invalid')", limit=10)
        return Ending(
            standing=standing,
            seconds=self._display.elapsed_seconds,
            songs_an_hour=self._display.songs_an_hour(standing),
            report=write_report(self._state, self._wish.out),
            failures=tuple((r["track"], r["code"] or r["state"], r["message"] or "") for r in failed),
        )

    def standing(self) -> Standing:
        """Return how far the run is."""
        counts = self._state.counts()
        fetched, sent = counts.pop("fetched", 0), sum(counts.values())
        return Standing(
            total=sent + self._following.expected,
            uploading=counts.get("new", 0),
            running=self._following.running,
            done=fetched if self._fetching else counts.get("succeeded", 0),
            failed=sum(counts.get(state, 0) for state in ("failed", "canceled", "invalid")),
        )

    def _feed(self) -> None:
        if self._following.must_upload_again and self._uploads.over:
            self._following.must_upload_again = False
            self._uploads.again()
        self._uploads.feed()
        self._submission.feed(uploads_over=self._uploads.over)
        self._following.feed()
        if self._fetching:
            self._fetching.feed()

    def _over(self) -> bool:
        return (
            self._uploads.over
            and self._submission.over
            and self._following.over
            and not self._following.must_upload_again
            and (self._fetching is None or self._fetching.over)
        )
