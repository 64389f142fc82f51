"""Dependent tasks on threads: in order, one after the other where they say so, and never too many at once."""

from __future__ import annotations

import threading
import time

import pytest

from worker.engines.unet.dependent_tasks import DependentTask, run_in_order


def sleep_and_return(i: int, seconds: float) -> int:
    time.sleep(seconds)
    return i


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_whichever_task_ends_first(threads):
    tasks = [DependentTask(sleep_and_return, i, 0.003 * (i % 3)) for i in range(30)]
    assert list(run_in_order(tasks, threads)) == list(range(30))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_tasks_run_at_once_than_there_are_threads(threads):
    lock, running, most = threading.Lock(), 0, 0

    def task():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(run_in_order([DependentTask(task) for _ in range(40)], threads))
    assert most <= threads
    assert (most > 1) == (threads > 1)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_task_runs_after_the_tasks_that_it_names(threads):
    ended: list[int] = []

    def sleep_and_note(i: int) -> None:
        time.sleep(0.001)
        ended.append(i)

    def chain():
        before: list[DependentTask[None]] = []
        for i in range(20):
            task = DependentTask(sleep_and_note, i, after=before)
            before = [task]
            yield task

    list(run_in_order(chain(), threads))
    assert ended == list(range(20))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_error_of_a_task_reaches_the_caller_and_the_tasks_after_it_do_not_hang(threads):
    def fail():
        raise ValueError("broken")

    first = DependentTask(fail)
    second = DependentTask(int, 1, after=[first])
    with pytest.raises(ValueError, match="broken"):
        list(run_in_order([first, second], threads))


def test_no_thread_is_left_when_the_caller_stops_early():
    before = threading.active_count()
    results = run_in_order([DependentTask(int, i) for i in range(1_000)], 3)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_tasks_are_requested_only_a_few_ahead():
    requested = 0

    def tasks():
        nonlocal requested
        for i in range(1_000):
            requested += 1
            yield DependentTask(int, i)

    results = run_in_order(tasks(), 2)
    next(results)
    assert requested < 10
    results.close()
