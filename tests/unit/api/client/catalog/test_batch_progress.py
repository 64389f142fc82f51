"""That polls list every item of a batch once, also those that the server makes of a track to continue it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.client.batches import PAGE_SIZE, Batch, BatchItem
from api.client.catalog.background_calls import FinishedCalls
from api.client.catalog.batch_progress import MAX_ITEMS_PER_POLL, BatchPoller
from api.client.catalog.run_state import RunState
from api.client.catalog.tracks.items import CatalogItem
from api.client.http_client import Client

MISSING = {"code": "source_missing", "message": "The upload is gone."}


class StubBatches:
    """Stands for a server's batch, because a real one of thousands of tracks takes minutes to run."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.running: set[int] = set()
        self.without_source: set[int] = set()
        self.listed: list[int] = []

    def read(self, batch_id: str) -> Batch:
        counts = {"running": len(self.running), "succeeded": self.total - len(self.running)}
        state = "running" if self.running else "ended"
        return Batch(batch_id, None, state, self.total, counts, "", {})

    def items(self, _: str, *, starting_after: int) -> Iterator[list[BatchItem]]:
        for first in range(starting_after + 1, self.total + 1, PAGE_SIZE):
            page = range(first, min(first + PAGE_SIZE, self.total + 1))
            self.listed += page
            yield [BatchItem.from_json(self._item(number)) for number in page]

    def _item(self, number: int) -> dict[str, Any]:
        state = "running" if number in self.running else "failed" if number in self.without_source else "succeeded"
        return {
            "number": number,
            "track": f"track {number}",
            "state": state,
            "error": MISSING if state == "failed" else None,
        }


@pytest.fixture
def state(tmp_path: Path) -> Iterator[RunState]:
    with RunState(tmp_path, writes=True) as state:
        yield state


def open_batch(state: RunState, tracks: int, *, jobs: int) -> StubBatches:
    """Put tracks into a batch, each of which becomes as many jobs."""
    state.add_items(CatalogItem(f"{n}", f"song {n}", path=Path(f"{n}.flac")) for n in range(1, tracks + 1))
    batch = state.open_batch({row["number"]: jobs for row in state.find_items()}, "key")
    state.change_batch(batch, id="b")
    return StubBatches(tracks * jobs)


def poller_of(state: RunState, batches: StubBatches, finished: FinishedCalls) -> BatchPoller:
    return BatchPoller(cast("Client", SimpleNamespace(batches=batches)), state, finished)


def poll_until(is_done: Any, poller: BatchPoller, finished: FinishedCalls) -> None:
    for _ in range(1000):
        if is_done():
            return
        poller.poll_next_batch()
        finished.handle_all(0.05)
    pytest.fail("The polls do not end.")


def test_a_poll_that_ends_inside_a_chain_loses_none_of_its_jobs(state: RunState) -> None:
    batches = open_batch(state, 2000, jobs=3)
    assert batches.total > MAX_ITEMS_PER_POLL
    assert MAX_ITEMS_PER_POLL % 3
    finished = FinishedCalls()
    poller = poller_of(state, batches, finished)
    poll_until(lambda: poller.is_done, poller, finished)
    assert batches.listed == list(range(1, batches.total + 1)), "each item is listed once"
    found = [row["batch_number"] for row in state.find_items("state = 'succeeded'")]
    assert sorted(found) == list(range(1, batches.total + 1))


def test_a_run_that_is_resumed_lists_on_from_where_the_last_one_ended(tmp_path: Path) -> None:
    with RunState(tmp_path, writes=True) as state:
        open_batch(state, 2, jobs=3)
        state.add_listed_items(1, {1: "one", 2: "one - vocals"})
        state.change_items((row["number"], {"state": "succeeded"}) for row in state.find_items("batch_number < 3"))
    with RunState(tmp_path, writes=True) as state:
        assert state.last_settled_number(1) == 2, "the third is no row yet"


def test_a_track_that_is_uploaded_again_is_not_listed_once_more(state: RunState) -> None:
    batches = open_batch(state, 2, jobs=2)
    batches.running, batches.without_source = {1}, {3}
    finished = FinishedCalls()
    poller = poller_of(state, batches, finished)
    poll_until(lambda: poller.must_upload_again, poller, finished)
    batches.running = set()
    poll_until(lambda: poller.is_done, poller, finished)
    found = {row["ident"]: row["state"] for row in state.find_items()}
    assert found == {"1": "succeeded", "2": "new", "1/2": "succeeded"}
