"""Polls the batches of a run: their counts often, their items only after the counts changed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from api.client.batches import Batch, BatchItem
from api.client.catalog.background_calls import BackgroundCalls, FinishedCalls
from api.client.catalog.run_state import ENDED, Row, RunState
from api.client.errors import ApiError
from api.client.http_client import Client
from shared.audio.names import without_audio_extension

SECONDS_PER_BATCH, MAX_POLL_SECONDS = 1.0, 30.0
"""The time between two polls of a batch: so many seconds for each open batch, up to a maximum."""

MAX_ITEMS_PER_POLL = 5000
"""The items that one poll reads; the next poll continues after them."""

MAX_UPLOADS = 3
"""How often a file is uploaded again because the server no longer has it."""

DETAIL_FIELDS = (
    *("attempts", "duration_seconds", "seconds", "real_time_factor", "input_sha256", "tempo_bpm", "key"),
    *("outputs", "notes"),
)
"""The fields of an ended item that the state keeps, and that become columns of the report."""


@dataclass(frozen=True)
class PolledBatch:
    """The result of one poll. `is_complete` is false if more items may have changed than were read."""

    batch: Batch
    items: list[BatchItem]
    is_complete: bool


class BatchPoller:
    """Records in the run's state what the server says of its batches."""

    def __init__(self, client: Client, state: RunState, finished: FinishedCalls) -> None:
        self._client, self._state = client, state
        self._calls = BackgroundCalls(1, finished)
        self._next_poll_at: dict[int, float] = {}
        self._seen_counts: dict[int, Mapping[str, int]] = {}
        self._batches: dict[int, Batch] = {}
        self.must_upload_again = False

    @property
    def running_tracks(self) -> int:
        """How many tracks are being separated."""
        return sum(b.counts.get("running", 0) for b in self._batches.values())

    @property
    def unlisted_tracks(self) -> int:
        """How many tracks of a prefix the server has counted but not yet listed here."""
        return sum(max(0, b.total - self._state.batch_size(n)) for n, b in self._batches.items() if not b.ended)

    @property
    def is_done(self) -> bool:
        """Whether all batches have ended and all their items are recorded."""
        return not self._calls.pending and not self._state.find_batches("NOT ended")

    def poll_next_batch(self) -> None:
        """Poll the first batch that is due, unless a poll is in progress."""
        if self._calls.pending:
            return
        now = time.monotonic()
        for row in self._state.find_batches("id IS NOT NULL AND NOT ended"):
            if now >= self._next_poll_at.get(row["number"], 0.0):
                self._start_poll(row)
                return

    def _start_poll(self, row: Row) -> None:
        number, batch_id = row["number"], row["id"]
        settled, seen = self._state.last_settled_number(number), self._seen_counts.get(number)
        open_batches = len(self._state.find_batches("id IS NOT NULL AND NOT ended"))
        self._next_poll_at[number] = time.monotonic() + min(MAX_POLL_SECONDS, SECONDS_PER_BATCH * open_batches)

        def on_result(polled: PolledBatch) -> None:
            self._record_poll(number, polled)

        def on_error(error: Exception) -> None:
            if not isinstance(error, ApiError) or error.status not in {httpx2.codes.NOT_FOUND, httpx2.codes.GONE}:
                raise error
            self._resubmit_unfinished(number)
            self._fail_unfinished(number, "batch_gone", "The server no longer has the batch of this track.")

        self._calls.start_call(lambda: self._poll(batch_id, settled, seen), on_result, on_error)

    def _poll(self, batch_id: str, starting_after: int, seen: Mapping[str, int] | None) -> PolledBatch:
        batch = self._client.batches.read(batch_id)
        if batch.counts == seen and not batch.ended:
            return PolledBatch(batch, [], is_complete=True)
        items: list[BatchItem] = []
        for page in self._client.batches.items(batch_id, starting_after=starting_after):
            items += page
            if not batch.ended and page and all(item.state == "waiting" for item in page):
                # Items are started in order, so all later ones wait too.
                break
            if len(items) >= MAX_ITEMS_PER_POLL:
                return PolledBatch(batch, items, is_complete=False)
        return PolledBatch(batch, items, is_complete=True)

    def _record_poll(self, number: int, polled: PolledBatch) -> None:
        self._batches[number] = polled.batch
        self._state.add_listed_items(number, {item.number: _track_name(item.track) for item in polled.items})
        item_numbers = [item.number for item in polled.items]
        sent = self._state.find_items(
            "batch = ? AND state = 'sent' AND batch_number BETWEEN ? AND ?",
            number,
            min(item_numbers, default=0),
            max(item_numbers, default=-1),
        )
        rows = {row["batch_number"]: row for row in sent}
        ended = [i for i in polled.items if i.state in ENDED and i.number in rows]
        self._state.change_items((rows[i.number]["number"], self._end_of_item(rows[i.number], i)) for i in ended)
        if not polled.is_complete:
            self._next_poll_at[number] = 0.0
            return
        self._seen_counts[number] = polled.batch.counts
        if polled.batch.ended:
            self._fail_unfinished(number, "item_missing", "The batch has ended and does not list this track.")

    def _end_of_item(self, row: Row, item: BatchItem) -> Mapping[str, object]:
        """Return the fields of an item that has ended, or of one that must be uploaded again."""
        error = item.error
        is_ours = bool(row["path"] or row["url"])
        if error and error.code == "source_missing" and is_ours and row["uploads"] < MAX_UPLOADS:
            # The server deletes uploads that no batch has used for a day.
            self.must_upload_again = True
            self._state.drop_followers(row)
            return _unsent_fields(row)
        return {
            "state": item.state,
            "job_id": item.job_id,
            "code": error.code if error else None,
            "message": error.message if error else None,
            "detail": json.dumps({name: item.raw.get(name) for name in DETAIL_FIELDS}),
        }

    def _resubmit_unfinished(self, number: int) -> None:
        """Mark the unfinished items of a batch that the server has deleted to be sent again."""
        unfinished = self._state.find_items("batch = ? AND state = 'sent' AND uploads < ?", number, MAX_UPLOADS)
        sendable = [row for row in unfinished if row["path"] or row["url"] or row["source"]]
        for row in sendable:
            self._state.drop_followers(row)
        self._state.change_items((row["number"], _unsent_fields(row)) for row in sendable)
        self.must_upload_again = self.must_upload_again or bool(sendable)

    def _fail_unfinished(self, number: int, code: str, message: str) -> None:
        """Fail the items of a batch that are still unfinished, and close the batch."""
        unfinished = self._state.find_items("batch = ? AND state = 'sent'", number)
        failure: Mapping[str, Any] = {"state": "failed", "code": code, "message": message}
        self._state.change_items((row["number"], failure) for row in unfinished)
        self._state.change_batch(number, ended=1)
        self._batches.pop(number, None)


def _unsent_fields(row: Row) -> Mapping[str, object]:
    """Return the fields of an item that is to be sent again; a file or URL is uploaded again first."""
    state = "new" if row["path"] or row["url"] else "ready"
    return {"state": state, "uploads": row["uploads"] + 1, "batch": None, "batch_number": None}


def _track_name(track: str) -> str:
    """Return the name of a track below a prefix: its key without the file extension."""
    return without_audio_extension(track)
