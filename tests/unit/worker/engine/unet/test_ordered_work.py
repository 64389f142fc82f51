"""Jobs on threads: in order, after each other, never too many at once."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from worker.engine.unet.ordered_work import Job, in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_whichever_job_ends_first(threads):
    jobs = [Job(partial(lambda i: time.sleep(0.003 * (i % 3)) or i, i)) for i in range(30)]
    assert list(in_order(jobs, threads)) == list(range(30))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_jobs_run_at_once_than_threads_were_given(threads):
    lock, running, most = threading.Lock(), 0, 0

    def job():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(in_order([Job(job) for _ in range(40)], threads))
    assert most <= threads
    assert (most > 1) == (threads > 1)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_job_runs_after_those_that_it_names(threads):
    ended: list[int] = []

    def chain():
        before = []
        for i in range(20):
            job = Job(partial(lambda i: time.sleep(0.001) or ended.append(i), i), before)
            before = [job]
            yield job

    list(in_order(chain(), threads))
    assert ended == list(range(20))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_a_job_raises_reaches_the_caller_and_those_after_it_do_not_hang(threads):
    def fail():
        raise ValueError("broken")

    first = Job(fail)
    second = Job(lambda: 1, [first])
    with pytest.raises(ValueError, match="broken"):
        list(in_order([first, second], threads))


def test_a_caller_that_stops_leaves_no_thread():
    before = threading.active_count()
    results = in_order([Job(partial(int, i)) for i in range(1_000)], 3)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_jobs_are_asked_for_only_a_few_ahead():
    asked = 0

    def jobs():
        nonlocal asked
        for i in range(1_000):
            asked += 1
            yield Job(partial(int, i))

    results = in_order(jobs(), 2)
    next(results)
    assert asked < 10
    results.close()
