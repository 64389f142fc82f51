"""Who comes next: owners and batches take turns, whatever one of them has in line."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from shared.job import JobRequest, Source
from shared.job_queue import Worker
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
    while catalog.batches.read(small).state != "ended":
        catalog.feed()
        for job_id in catalog.stand_in.published_ids():
            job = catalog.stand_in.store.read(job_id)
            served[job.batch_id or job.request.owner] += 1
            # Whose turn it is does not depend on what a job makes.
            catalog.stand_in.store.succeed(catalog.stand_in.claim(job_id), outputs=[], probed={}, report={})
    assert set(served) == {large, small, "anna", "ben"}
    assert served[small] == 15
    assert all(13 <= served[party] <= 17 for party in served), served


def test_bulk_never_fills_the_workers(catalog: Catalog) -> None:
    catalog.stand_in.queue.worker_beat(Worker("two", 2, (ENGINE,), catalog.stand_in.queue.workers()[0].descriptions, 1))
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
