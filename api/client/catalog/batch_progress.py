"""What becomes of the batches: their counts are read often, their items only where something has happened."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from api.client.batches import Batch, BatchItem
from api.client.catalog.background_calls import Background, Results
from api.client.catalog.run_state import ENDED, Row, RunState
from api.client.errors import ApiError
from api.client.http_client import Client
from shared.audio_names import without_audio_extension

SECONDS_A_BATCH, LONGEST_SECONDS = 1.0, 30.0
"""How often all batches are looked at: so many seconds for each, up to a limit."""

MOST_ITEMS = 5000
"""Read in one look; the next look goes on from there."""

MOST_UPLOADS = 3
"""How often a file is sent again because the server has it no longer."""

KEPT = ("attempts", "duration_seconds", "seconds", "real_time_factor", "input_sha256", "outputs")
"""What of an item is written down once it has ended."""


@dataclass(frozen=True)
class Look:
    """What one look at a batch showed; `whole` when nothing that may have changed was left out."""

    batch: Batch
    items: list[BatchItem]
    whole: bool


class Following:
    """Brings what the server tells into the state; `running` is how many tracks are worked on now."""

    def __init__(self, client: Client, state: RunState, results: Results) -> None:
        self._client, self._state = client, state
        self._background = Background(1, results)
        self._due: dict[int, float] = {}
        self._seen: dict[int, Mapping[str, int]] = {}
        self._batches: dict[int, Batch] = {}
        self.must_upload_again = False

    @property
    def running(self) -> int:
        """How many tracks are worked on."""
        return sum(b.counts.get("running", 0) for b in self._batches.values())

    @property
    def expected(self) -> int:
        """How many tracks there are below a prefix that are not known here by name yet."""
        return sum(max(0, b.total - self._known(n)) for n, b in self._batches.items() if not b.ended)

    @property
    def over(self) -> bool:
        """Whether all batches have ended, and all their items are known."""
        return not self._background.busy and not self._state.batches("NOT ended")

    def feed(self) -> None:
        """Look at the batch whose turn it is."""
        if self._background.busy:
            return
        now = time.monotonic()
        for row in self._state.batches("id IS NOT NULL AND NOT ended"):
            if now >= self._due.get(row["number"], 0.0):
                self._start(row)
                return

    def _start(self, row: Row) -> None:
        number, batch_id = row["number"], row["id"]
        low, seen = self._state.low_water(number), self._seen.get(number)
        waiting = len(self._state.batches("id IS NOT NULL AND NOT ended"))
        self._due[number] = time.monotonic() + min(LONGEST_SECONDS, SECONDS_A_BATCH * waiting)

        def looked(look: Look) -> None:
            self._take(number, look)

        def failed(error: Exception) -> None:
            if not isinstance(error, ApiError) or error.status not in {httpx2.codes.NOT_FOUND, httpx2.codes.GONE}:
                raise error
            self._begin_again(number)
            self._give_up(number, "batch_gone", "The server knows its batch no longer.")

        self._background.do(lambda: self._look(batch_id, low, seen), looked, failed)

    def _look(self, batch_id: str, low: int, seen: Mapping[str, int] | None) -> Look:
        batch = self._client.batches.read(batch_id)
        if batch.counts == seen and not batch.ended:
            return Look(batch, [], whole=True)
        items: list[BatchItem] = []
        for page in self._client.batches.items(batch_id, starting_after=low):
            items += page
            if not batch.ended and page and all(item.state == "waiting" for item in page):
                # They are begun in order: what comes after these waits too.
                break
            if len(items) >= MOST_ITEMS:
                return Look(batch, items, whole=False)
        return Look(batch, items, whole=True)

    def _take(self, number: int, look: Look) -> None:
        self._batches[number] = look.batch
        self._state.found(number, {item.number: _track(item.track) for item in look.items})
        places = [item.number for item in look.items]
        known = self._state.items(
            "batch = ? AND state = 'sent' AND batch_number BETWEEN ? AND ?",
            number,
            min(places, default=0),
            max(places, default=-1),
        )
        rows = {row["batch_number"]: row for row in known}
        ended = [i for i in look.items if i.state in ENDED and i.number in rows]
        self._state.change_many((rows[i.number]["number"], self._end(rows[i.number], i)) for i in ended)
        if not look.whole:
            self._due[number] = 0.0
            return
        self._seen[number] = look.batch.counts
        if look.batch.ended:
            self._give_up(number, "item_missing", "The batch has ended, and tells nothing of this track.")

    def _end(self, row: Row, item: BatchItem) -> Mapping[str, object]:
        error = item.error
        if error and error.code == "source_missing" and (row["path"] or row["url"]) and row["uploads"] < MOST_UPLOADS:
            # Uploads that no batch took within a day are removed.
            self.must_upload_again = True
            return _from_the_start(row)
        return {
            "state": item.state,
            "job_id": item.job_id,
            "code": error.code if error else None,
            "message": error.message if error else None,
            "detail": json.dumps({name: item.raw.get(name) for name in KEPT}),
        }

    def _begin_again(self, number: int) -> None:
        """Take up what a batch had not done that the server has forgotten."""
        left = self._state.items("batch = ? AND state = 'sent' AND uploads < ?", number, MOST_UPLOADS)
        again = [row for row in left if row["path"] or row["url"] or row["source"]]
        self._state.change_many((row["number"], _from_the_start(row)) for row in again)
        self.must_upload_again = self.must_upload_again or bool(again)

    def _give_up(self, number: int, code: str, message: str) -> None:
        left = self._state.items("batch = ? AND state = 'sent'", number)
        end: Mapping[str, Any] = {"state": "failed", "code": code, "message": message}
        self._state.change_many((row["number"], end) for row in left)
        self._state.change_batch(number, ended=1)
        self._batches.pop(number, None)

    def _known(self, number: int) -> int:
        return self._state.size_of(number)


def _from_the_start(row: Row) -> Mapping[str, object]:
    """Return the fields of an item that has not been sent; a file goes up anew."""
    state = "new" if row["path"] or row["url"] else "ready"
    return {"state": state, "uploads": row["uploads"] + 1, "batch": None, "batch_number": None}


def _track(track: str) -> str:
    """Return what an object below a prefix is called: its key without the ending."""
    return without_audio_extension(track)
