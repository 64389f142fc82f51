"""Runs jobs on a few threads, the caller's own among them, and gives their results in order.

A plain executor would either idle the caller's thread or run one thread more than was allowed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class _Task(Generic[T]):
    """A job that either the pool or the caller runs, whoever comes first."""

    def __init__(self, job: Callable[[], T], pool: ThreadPoolExecutor) -> None:
        self._job = job
        self.future: Future[T] = pool.submit(job)

    def run_here_unless_started(self) -> bool:
        if not self.future.cancel():
            return False
        self.future = Future()
        try:
            self.future.set_result(self._job())
        except BaseException as error:
            self.future.set_exception(error)
            raise
        return True


def in_order(jobs: Iterable[Callable[[], T]], threads: int) -> Iterator[T]:
    """Yield the jobs' results in order, at most `threads` jobs running at once.

    Jobs start in order, and a job may wait for an earlier one. The iterable is read on the caller's
    thread, a few jobs ahead. Whatever a job raises is raised here.
    """
    if threads <= 1:
        for job in jobs:
            yield job()
        return
    ahead: deque[_Task[T]] = deque()
    with ThreadPoolExecutor(threads - 1, thread_name_prefix="segment") as pool:
        try:
            for job in jobs:
                ahead.append(_Task(job, pool))
                if len(ahead) > threads:
                    yield _first_result(ahead)
            while ahead:
                yield _first_result(ahead)
        finally:
            for task in ahead:
                task.future.cancel()


def _first_result(ahead: deque[_Task[T]]) -> T:
    """Return the first task's result, running what no thread has begun instead of waiting."""
    for task in list(ahead):
        if ahead[0].future.done():
            break
        task.run_here_unless_started()
    return ahead.popleft().future.result()
