"""Changes to all of a batch go through its items in parts: whoever dies between two, the rest is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from shared.batches.actions import BatchActions
from shared.errors import StoreUnavailableError
from shared.maintenance.garbage_collector import Collector
from tests.fixtures.batches import Catalog

TRACKS = 25


@pytest.fixture
def batch(catalog: Catalog) -> str:
    """A batch of which some tracks are done, some have failed, some are in line, and most wait."""
    items = [{"source": catalog.put_song(f"songs/{n}.flac")} for n in range(TRACKS)]
    batch_id: str = catalog.submit(items=items)["id"]
    catalog.feed()
    for job_id in catalog.stand_in.published_ids():
        catalog.stand_in.succeed(job_id) if int(job_id, 16) % 2 else catalog.stand_in.fail(job_id)
    catalog.feed()
    return batch_id


def dies(catalog: Catalog, after: int) -> BatchActions:
    """Return what makes changes in small parts, and finds Redis away after so many of them."""
    changes = BatchActions(catalog.settings, letters_at_once=4, jobs_at_once=1)
    run, runs = changes._scripts.run, Counter[str]()

    def counted(name: str, **arguments: object) -> Any:
        runs["scripts"] += 1
        if runs["scripts"] > after:
            raise StoreUnavailableError("away")
        return run(name, **arguments)

    changes._scripts.run = counted  # type: ignore[method-assign]
    return changes


def broken_off(catalog: Catalog, change: str, batch: str) -> Iterator[int]:
    """Break a change off after each number of its scripts, as long as it does not come to its end."""
    for after in range(1, 100):
        try:
            getattr(dies(catalog, after), change)(batch)
        except StoreUnavailableError:
            yield after
        else:
            return


def agree(catalog: Catalog, batch: str) -> Counter[str]:
    """Return the items by state, once the batch's counts, the server's and the letters say the same."""
    told = {state: n for state, n in catalog.read(batch)["counts"].items() if n}
    items = Counter(item["state"] for item in catalog.items(batch))
    assert told == items
    server = {state: n for state, n in catalog.stand_in.statistics.jobs_by_state().items() if n}
    assert server == {state: n for state, n in items.items() if state not in {"waiting", "invalid"}}
    return items


def test_a_cancel_that_is_broken_off_anywhere_is_finished_by_whoever_feeds(catalog: Catalog, batch: str) -> None:
    before, breaks = agree(catalog, batch), 0
    assert {"waiting", "queued", "succeeded", "failed"} <= set(before)
    for after in broken_off(catalog, "cancel", batch):
        breaks = after
        assert catalog.read(batch)["state"] == "canceled", "from its first step on"
        agree(catalog, batch)
        catalog.feed()
        items = agree(catalog, batch)
        assert not items.keys() & {"waiting", "queued", "running"}
        assert catalog.read(batch)["ended_at"]
        assert catalog.batches.feeding.live_ids() == []
        assert catalog.web.post(f"/v1/batches/{batch}/cancel").status_code == 409
        assert catalog.web.post(f"/v1/batches/{batch}/retry-failed").status_code == 202
        catalog.feed()
    assert breaks > TRACKS / 4, "it takes as many parts as it has items"


def test_a_retry_that_is_broken_off_anywhere_is_finished_by_whoever_feeds(catalog: Catalog, batch: str) -> None:
    for _ in broken_off(catalog, "retry_failed", batch):
        assert catalog.read(batch)["state"] == "running", "from its first step on"
        agree(catalog, batch)
        catalog.feed()
        assert not agree(catalog, batch).keys() & {"failed", "canceled"}
        assert catalog.web.post(f"/v1/batches/{batch}/cancel").status_code == 202
        catalog.feed()
    assert catalog.work_off(batch)["counts"]["succeeded"] == TRACKS


@pytest.mark.parametrize("next_call", ["retry-failed", "rerun", "delete"])
def test_what_comes_after_a_cancel_that_was_broken_off_finishes_it_first(
    catalog: Catalog, batch: str, next_call: str
) -> None:
    with pytest.raises(StoreUnavailableError):
        dies(catalog, 2).cancel(batch)
    agree(catalog, batch)
    if next_call == "delete":
        assert catalog.web.delete(f"/v1/batches/{batch}").status_code == 204
        assert catalog.web.get(f"/v1/batches/{batch}").status_code == 404
        assert not [key for key in catalog.batches._redis.scan_iter("*") if batch[:24] in key]
        return
    catalog.stand_in.announce({**catalog.stand_in.workers.live_workers()[0].descriptions[0], "version": "2"})
    assert catalog.web.post(f"/v1/batches/{batch}/{next_call}").status_code == 202
    assert not agree(catalog, batch).keys() & {"queued", "running"}
    catalog.feed()
    assert catalog.work_off(batch)["state"] == "ended"


def test_jobs_that_a_deleted_batch_leaves_are_forgotten_by_the_collector(catalog: Catalog) -> None:
    items = [{"source": catalog.put_song(f"songs/{n}.flac")} for n in range(3)]
    batch = catalog.submit(items=items)["id"]
    catalog.feed()
    jobs = catalog.stand_in.published_ids()
    for job_id in jobs[:2]:
        catalog.stand_in.succeed(job_id)
    catalog.web.post(f"/v1/batches/{batch}/cancel")
    known = catalog.batches.read_batch(batch)
    with pytest.raises(StoreUnavailableError):
        dies(catalog, 1).delete(batch)
    assert catalog.web.get(f"/v1/batches/{batch}").status_code == 404
    # Whoever still works on them finds the batch gone.
    assert not catalog.feeder.results.compact_jobs(known)
    Collector(catalog.settings, catalog.storage).collect(now=True)
    assert not [key for key in catalog.batches._redis.scan_iter("*") if batch[:24] in key]
    assert int(catalog.batches._redis.hget("sq:usage:local", "bytes") or 0) == 0
