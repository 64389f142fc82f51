"""Who works while an engine waits for its next turn."""

from __future__ import annotations

import threading

from tests.fixtures.engines import Share
from worker.crew import Crew
from worker.engine.interface import WorksAhead
from worker.engine.unet import MaskEngine
from worker.separating import crew_between_blocks


class Hasty(Share):
    """Its own threads go on between two blocks."""

    works_ahead = True


def threads_at_work(engine: Share, crew: Crew, *, patience_seconds: float) -> set[str]:
    together = threading.Barrier(2)

    def task() -> str:
        # Two threads, if there are two, take one task each.
        try:
            together.wait(patience_seconds)
        except threading.BrokenBarrierError:
            together.reset()
        return threading.current_thread().name

    return set(crew_between_blocks(engine, crew).run([task, task]))


def test_an_engine_that_rests_leaves_all_its_cores_to_what_measures() -> None:
    with Crew(2) as crew:
        assert len(threads_at_work(Share(), crew, patience_seconds=30)) == 2


def test_beside_an_engine_that_works_ahead_only_its_callers_thread_measures() -> None:
    with Crew(2) as crew:
        assert threads_at_work(Hasty(), crew, patience_seconds=0.2) == {threading.current_thread().name}


def test_the_networks_say_that_they_work_ahead() -> None:
    assert isinstance(MaskEngine.__new__(MaskEngine), WorksAhead)
