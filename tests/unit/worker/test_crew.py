"""A crew does tasks side by side, on no more threads than it was given, and leaves none behind."""

from __future__ import annotations

import threading
import time

import pytest

from worker.crew import Crew

ALL_WAIT_SECONDS = 30


def crew_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("crew")]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    with Crew(threads) as crew:
        assert crew.run([lambda n=n: time.sleep(0.001 * (n % 3)) or n for n in range(20)]) == list(range(20))
        assert crew.run([]) == []
        assert crew.pair(lambda: "one", lambda: 2) == ("one", 2)


def test_as_many_tasks_run_at_once_as_there_are_threads_and_no_more() -> None:
    running, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(3)

    def task() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(ALL_WAIT_SECONDS)  # passes only if three are here at once
        with lock:
            running -= 1

    with Crew(3) as crew:
        crew.run([task] * 9)
    assert most == 3


def test_a_crew_of_one_is_the_caller_alone() -> None:
    with Crew(1) as crew:
        assert set(crew.run([threading.current_thread] * 3)) == {threading.current_thread()}
        assert crew_threads() == []


def test_the_first_task_is_the_callers() -> None:
    with Crew(4) as crew:
        for _ in range(20):
            assert crew.run([threading.current_thread] * 4)[0] is threading.current_thread()


@pytest.mark.parametrize("threads", [1, 3])
def test_what_a_task_raises_is_raised_once_none_runs_and_later_ones_do_not_begin(threads: int) -> None:
    raising, ended, begun_late = threading.Event(), threading.Event(), threading.Event()
    failing = threading.Barrier(threads)

    def slow() -> None:
        failing.wait(ALL_WAIT_SECONDS)
        assert raising.wait(ALL_WAIT_SECONDS)
        time.sleep(0.2)
        ended.set()

    def fail() -> None:
        failing.wait(ALL_WAIT_SECONDS)
        raising.set()
        raise ZeroDivisionError("here")

    with Crew(threads) as crew:
        with pytest.raises(ZeroDivisionError, match="here"):
            crew.run([*[slow] * (threads - 1), fail, begun_late.set])
        assert ended.is_set() == (threads > 1)
        assert not begun_late.is_set()
        assert crew.run([lambda: 1]) == [1]


def test_of_several_errors_the_first_tasks_counts() -> None:
    both = threading.Barrier(2)

    def fail(name: str) -> None:
        both.wait(ALL_WAIT_SECONDS)
        raise KeyError(name)

    with Crew(2) as crew:
        for _ in range(20):
            with pytest.raises(KeyError, match="first"):
                crew.run([lambda: fail("first"), lambda: fail("second")])


def test_no_thread_is_left_behind() -> None:
    with Crew(4) as crew:
        crew.run([lambda: time.sleep(0.01)] * 8)
        assert len(crew_threads()) == 3
    assert crew_threads() == []
