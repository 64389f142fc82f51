"""Which job is next, and on which worker: owners and batches take turns, and no job waits while a slot is free."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from shared.jobs.request import JobRequest, Source
from shared.queue.worker_registry import Worker
from tests.fixtures.batches import Catalog

ENGINE = "repetition"


def test_batches_and_owners_share_the_slots_evenly(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    large = catalog.submit(items=[{"source": source}] * 100)["id"]
    small = catalog.submit(items=[{"source": source}] * 15)["id"]
    request = JobRequest(source=Source("songs/a.flac", "a.flac", 1), engine=ENGINE, priority="bulk")
    for owner in ("anna", "ben"):
        for _ in range(50):
            catalog.stand_in.store.submit(replace(request, owner=owner))
    served: Counter[str] = Counter()
    while catalog.batches.read_batch(small).state != "ended":
        catalog.feed()
        for job_id in catalog.stand_in.published_ids():
            job = catalog.stand_in.store.read_job(job_id)
            served[job.batch_id or job.request.owner] += 1
            # Whose turn it is does not depend on what a job makes.
            catalog.stand_in.store.claims.succeed(catalog.stand_in.claim(job_id), outputs=[], probed={}, report={})
    assert set(served) == {large, small, "anna", "ben"}
    assert served[small] == 15
    assert all(13 <= served[party] <= 17 for party in served), served


def test_bulk_never_fills_the_workers(catalog: Catalog) -> None:
    workers = catalog.stand_in.workers
    workers.heartbeat(Worker("two", 2, (ENGINE,), workers.live_workers()[0].descriptions, 1))
    request = JobRequest(source=Source("songs/a.flac", "a.flac", 1), engine=ENGINE, priority="bulk")
    for _ in range(50):
        catalog.stand_in.store.submit(request)
    claimed = 0
    while published := catalog.stand_in.published_ids():
        for job_id in published:
            catalog.stand_in.claim(job_id)
            claimed += 1
    # Three slots, of which bulk may take two; a worker has two threads for each slot, and one more.
    assert claimed == 4
    urgent = catalog.stand_in.store.submit(replace(request, priority="interactive"))
    assert catalog.stand_in.published_ids() == [urgent.id]


def test_a_worker_without_a_free_slot_passes_messages_on_while_another_has_one(catalog: Catalog) -> None:
    queue, store, workers = catalog.stand_in.queue, catalog.stand_in.store, catalog.stand_in.workers
    descriptions = workers.live_workers()[0].descriptions
    workers.heartbeat(Worker("keeps one", 2, (ENGINE,), descriptions, 1))
    request = JobRequest(source=Source("songs/a.flac", "a.flac", 1), engine=ENGINE, priority="bulk")
    first, second, third = (store.submit(request).id for _ in range(3))
    urgent = store.submit(replace(request, priority="interactive")).id
    catalog.stand_in.published_ids()
    assert not queue.pass_on(first, "stand-in"), "its one slot is free"
    claim = store.claims.take(first, "stand-in")
    assert claim
    assert queue.pass_on(second, "stand-in"), "the other has a slot for it"
    assert not queue.pass_on(second, "keeps one")
    assert store.claims.take(second, "keeps one")
    assert not queue.pass_on(third, "stand-in"), "nobody has: it is fetched meanwhile"
    assert queue.pass_on(urgent, "stand-in"), "the kept slot is for such jobs"
    assert not queue.pass_on(urgent, "keeps one")
    store.claims.renew(claim, stage="upload", progress=0.95)
    assert not queue.pass_on(urgent, "stand-in"), "what is uploaded holds no slot"
    assert queue.pass_on(third, "keeps one")
    assert not queue.pass_on(first, "keeps one"), "it is taken already: the message says nothing any more"


def test_a_message_is_not_passed_on_for_ever(catalog: Catalog) -> None:
    queue, store, workers = catalog.stand_in.queue, catalog.stand_in.store, catalog.stand_in.workers
    workers.heartbeat(Worker("hangs", 1, (ENGINE,), workers.live_workers()[0].descriptions))
    request = JobRequest(source=Source("songs/a.flac", "a.flac", 1), engine=ENGINE)
    first, second = (store.submit(request).id for _ in range(2))
    catalog.stand_in.published_ids()
    assert store.claims.take(first, "stand-in")
    passed = [queue.pass_on(second, "stand-in") for _ in range(5)]
    assert passed == [True] * 4 + [False], "twice by each worker"
    assert store.claims.take(second, "stand-in")


def test_a_job_that_waits_for_a_slot_is_handed_on_when_another_worker_has_one(catalog: Catalog) -> None:
    queue, store, workers = catalog.stand_in.queue, catalog.stand_in.store, catalog.stand_in.workers
    workers.heartbeat(Worker("other", 1, (ENGINE,), workers.live_workers()[0].descriptions))
    request = JobRequest(source=Source("songs/a.flac", "a.flac", 1), engine=ENGINE, priority="bulk")
    first, second, waiting, next_one = (store.submit(request).id for _ in range(4))
    catalog.stand_in.published_ids()
    claims = [
        store.claims.take(i, worker) for i, worker in ((first, "stand-in"), (second, "other"), (waiting, "stand-in"))
    ]
    assert all(claims)
    runs, elsewhere, waits = (claim for claim in claims if claim)
    assert not store.claims.is_better_elsewhere(waits), "both are busy"
    store.claims.renew(elsewhere, stage="upload", progress=0.95)
    assert not store.claims.is_better_elsewhere(waits), "one that is published is there first"
    assert store.claims.take(next_one, "other")
    assert not store.claims.is_better_elsewhere(waits)
    catalog.stand_in.store.cancel(next_one)
    assert store.claims.is_better_elsewhere(waits)
    assert store.claims.hand_back(waits)
    assert not store.claims.is_better_elsewhere(waits), "it is nobody's now"
    catalog.stand_in.published_ids()
    assert queue.pass_on(waiting, "stand-in")
    assert not store.claims.is_better_elsewhere(runs), "its worker has a slot for the one that is left"
