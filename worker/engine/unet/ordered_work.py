"""Runs jobs that depend on each other on a few threads, the caller's own among them; gives results in order.

A plain executor would either idle the caller's thread or run one thread more than was allowed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")

JOBS_AHEAD = 3
"""Jobs in line beyond those that run. Fewer leave a thread waiting for its turn; more hold more memory."""


class Job(Generic[T]):
    """Something to run once, after other jobs.

    Parameters
    ----------
    run
        What to run; whatever it raises is raised where the result is asked for.
    after
        Jobs whose end to wait for. They must come earlier in the line.
    """

    def __init__(self, run: Callable[[], T], after: Sequence[Job[Any]] = ()) -> None:
        self._run: Callable[[], T] | None = run
        self._after = after
        self._done: Future[T] = Future()

    def execute(self) -> None:
        """Wait for the jobs before, then run."""
        try:
            for job in self._after:
                job.result()
            if self._run is not None:
                self._done.set_result(self._run())
        except BaseException as error:  # noqa: BLE001 - raised again by result(), on the caller's thread
            self._done.set_exception(error)
        # Else each job would keep all jobs before it, and all that they hold.
        self._run, self._after = None, ()

    def ended(self) -> bool:
        """Tell whether the result is there."""
        return self._done.done()

    def result(self) -> T:
        """Wait for the result, or for what was raised instead."""
        return self._done.result()


def in_order(jobs: Iterable[Job[T]], threads: int) -> Iterator[T]:
    """Yield the jobs' results in order, at most `threads` running at once.

    Jobs start in order. The iterable is read on the caller's thread, a few jobs ahead.
    """
    if threads <= 1:
        for job in jobs:
            job.execute()
            yield job.result()
        return
    ahead: deque[tuple[Job[T], Future[None]]] = deque()
    with ThreadPoolExecutor(threads - 1, thread_name_prefix="separation") as pool:
        try:
            for job in jobs:
                ahead.append((job, pool.submit(job.execute)))
                if len(ahead) >= threads + JOBS_AHEAD:
                    yield _first_result(ahead)
            while ahead:
                yield _first_result(ahead)
        finally:
            for _, started in ahead:
                started.cancel()


def _first_result(ahead: deque[tuple[Job[T], Future[None]]]) -> T:
    """Return the first job's result; run what no thread has begun rather than wait for it."""
    for job, started in ahead:
        if ahead[0][0].ended():
            break
        if started.cancel():
            job.execute()
    return ahead.popleft()[0].result()
