"""How long a job usually takes, as preflights report it."""

from __future__ import annotations

import pytest

from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore, new_id
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.settings import Settings
from tests.integration.shared.jobs.test_life_cycle_model import Silent


@pytest.mark.parametrize(("took", "least", "most"), [([40, 1.5, 1.5, 1.5], 1.5, 5), ([3] * 6, 2.9, 3.1)])
def test_a_first_job_that_loads_its_model_is_soon_forgotten(
    settings: Settings, took: list[float], least: float, most: float
) -> None:
    store, queue = JobStore(settings), JobQueue(settings, producer=Silent())  # type: ignore[arg-type]
    statistics = QueueStatistics(settings)
    WorkerRegistry(settings).heartbeat(Worker("w", 1, ("e",), ()))
    assert statistics.typical_job("e", "flac") == (None, None)
    for seconds in took:
        job_id = new_id()
        store.submit(JobRequest(Source("x", "x.wav", 1), "e", owner="a"), job_id=job_id)
        queue.dispatch()
        claim = store.claims.take(job_id, "w")
        assert claim
        assert store.claims.succeed(
            claim, outputs=[], probed={"duration_seconds": 2.5}, report={}, busy_seconds=seconds
        )
    told, _ = statistics.typical_job("e", "flac")
    assert told
    assert least <= told <= most
