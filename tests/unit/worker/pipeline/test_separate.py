"""Which threads may work between two blocks of an engine."""

from __future__ import annotations

import threading

from tests.fixtures.engines import Share
from worker.engines.interface import WorksAhead
from worker.engines.unet import MaskEngine
from worker.pipeline.separate import pool_between_blocks
from worker.run_support.task_pool import TaskPool


class WorkingAhead(Share):
    """Its own threads keep working between two blocks."""

    works_ahead = True


def threads_at_work(engine: Share, pool: TaskPool, *, patience_seconds: float) -> set[str]:
    together = threading.Barrier(2)

    def task() -> str:
        # Two threads, if there are two, take one task each.
        try:
            together.wait(patience_seconds)
        except threading.BrokenBarrierError:
            together.reset()
        return threading.current_thread().name

    return set(pool_between_blocks(engine, pool).run_tasks([task, task]))


def test_between_the_blocks_of_an_idle_engine_all_threads_measure() -> None:
    with TaskPool(2) as pool:
        assert len(threads_at_work(Share(), pool, patience_seconds=30)) == 2


def test_beside_an_engine_that_works_ahead_only_the_callers_thread_measures() -> None:
    with TaskPool(2) as pool:
        assert threads_at_work(WorkingAhead(), pool, patience_seconds=0.2) == {threading.current_thread().name}


def test_the_networks_say_that_they_work_ahead() -> None:
    assert isinstance(MaskEngine.__new__(MaskEngine), WorksAhead)
