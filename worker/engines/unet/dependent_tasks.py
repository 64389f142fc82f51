"""Runs tasks that depend on each other on a few threads, including the caller's, and yields their results in order.

A plain `ThreadPoolExecutor` would either leave the caller's thread idle or run one thread more than allowed. The module
docstring of `worker/run_support/task_pool.py` says when to use this, and when one of the other two ways to run things
in parallel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")

TASKS_AHEAD = 3
"""Tasks that wait beyond those that run. Fewer leave threads without work; more hold more memory."""


class DependentTask(Generic[T]):
    """A call that is made once, after other tasks have ended.

    Parameters
    ----------
    function, *arguments
        The call. Whatever it raises is raised again by `result`.
    after
        Tasks that must have ended before. They must come earlier in the sequence given to `run_in_order`.
    """

    def __init__(self, function: Callable[..., T], *arguments: Any, after: Sequence[DependentTask[Any]] = ()) -> None:
        self._call: tuple[Callable[..., T], tuple[Any, ...]] | None = function, arguments
        self._after = after
        self._done: Future[T] = Future()

    def execute(self) -> None:
        """Wait for the tasks before this one, then make the call."""
        try:
            for task in self._after:
                task.result()
            if self._call is not None:
                function, arguments = self._call
                self._done.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - raised again by result(), on the caller's thread
            self._done.set_exception(error)
        # Otherwise each task would keep alive all tasks before it, and their arguments.
        self._call, self._after = None, ()

    def has_ended(self) -> bool:
        """Return whether the call has returned or raised."""
        return self._done.done()

    def result(self) -> T:
        """Wait until the call has ended; return its result, or raise what it raised."""
        return self._done.result()


def run_in_order(tasks: Iterable[DependentTask[T]], threads: int) -> Iterator[T]:
    """Yield the results of the tasks in order, while at most `threads` tasks run at once.

    Tasks start in order. The iterable is read on the caller's thread, a few tasks ahead.
    """
    if threads <= 1:
        for task in tasks:
            task.execute()
            yield task.result()
        return
    waiting: deque[tuple[DependentTask[T], Future[None]]] = deque()
    with ThreadPoolExecutor(threads - 1, thread_name_prefix="separation") as pool:
        try:
            for task in tasks:
                waiting.append((task, pool.submit(task.execute)))
                if len(waiting) >= threads + TASKS_AHEAD:
                    yield _take_first_result(waiting)
            while waiting:
                yield _take_first_result(waiting)
        finally:
            for _, submitted in waiting:
                submitted.cancel()


def _take_first_result(waiting: deque[tuple[DependentTask[T], Future[None]]]) -> T:
    """Return the first task's result. Instead of only waiting for it, run tasks that no thread has started."""
    for task, submitted in waiting:
        if waiting[0][0].has_ended():
            break
        if submitted.cancel():
            task.execute()
    return waiting.popleft()[0].result()
