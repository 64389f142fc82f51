"""A task pool runs tasks at the same time, on no more threads than it was given, and leaves no thread behind."""

from __future__ import annotations

import threading
import time

import pytest

from worker.run_support.task_pool import TaskPool

ALL_WAIT_SECONDS = 30


def pool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("task-pool")]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    with TaskPool(threads) as pool:
        assert pool.run_tasks([lambda n=n: time.sleep(0.001 * (n % 3)) or n for n in range(20)]) == list(range(20))
        assert pool.run_tasks([]) == []
        assert pool.run_pair(lambda: "one", lambda: 2) == ("one", 2)


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

    with TaskPool(3) as pool:
        pool.run_tasks([task] * 9)
    assert most == 3


def test_a_pool_of_one_thread_is_the_caller_alone() -> None:
    with TaskPool(1) as pool:
        assert set(pool.run_tasks([threading.current_thread] * 3)) == {threading.current_thread()}
        assert pool_threads() == []


def test_the_first_task_runs_on_the_callers_thread() -> None:
    with TaskPool(4) as pool:
        for _ in range(20):
            assert pool.run_tasks([threading.current_thread] * 4)[0] is threading.current_thread()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_once_no_task_runs_and_later_tasks_do_not_start(threads: int) -> None:
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

    with TaskPool(threads) as pool:
        with pytest.raises(ZeroDivisionError, match="here"):
            pool.run_tasks([*[slow] * (threads - 1), fail, begun_late.set])
        assert ended.is_set() == (threads > 1)
        assert not begun_late.is_set()
        assert pool.run_tasks([lambda: 1]) == [1]


def test_of_several_errors_that_of_the_first_task_is_raised() -> None:
    both = threading.Barrier(2)

    def fail(name: str) -> None:
        both.wait(ALL_WAIT_SECONDS)
        raise KeyError(name)

    with TaskPool(2) as pool:
        for _ in range(20):
            with pytest.raises(KeyError, match="first"):
                pool.run_tasks([lambda: fail("first"), lambda: fail("second")])


def test_no_thread_is_left_behind() -> None:
    with TaskPool(4) as pool:
        pool.run_tasks([lambda: time.sleep(0.01)] * 8)
        assert len(pool_threads()) == 3
    assert pool_threads() == []
