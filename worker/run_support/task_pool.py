"""A pool of threads for independent tasks, in which the caller's thread works too.

A run uses it for everything around the engine: loading, measuring, encoding, drawing. An engine has threads of its own,
and the pipeline makes sure that the two do not work at the same time.

There are three ways to run things in parallel in the worker. All of them stay within the job's number of threads.

- `TaskPool` (here): a list of independent tasks, and the caller needs all results before it continues.
- `run_in_order` of `worker/engines/unet/dependent_tasks.py`: an endless sequence of tasks that depend on earlier ones,
  and the caller takes results in order while later tasks already run. It is part of an engine, and engines import
  nothing of the pipeline.
- `ThreadPoolExecutor.map` of the standard library: equal pieces of one array operation, while the caller only waits, as
  in `worker/engines/repetition/separation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar, cast

A = TypeVar("A")
B = TypeVar("B")


class TaskPool:
    """A context with at most `threads - 1` threads besides the caller's. None of them is left when it ends."""

    def __init__(self, threads: int) -> None:
        self._helpers = max(0, threads - 1)
        # The executor starts a thread only when there is work for it.
        self._executor = ThreadPoolExecutor(self._helpers, thread_name_prefix="task-pool") if self._helpers else None

    def run_tasks(self, tasks: Sequence[Callable[[], A]]) -> list[A]:
        """Run the tasks and return their results. They start in order, the first one on the caller's thread.

        After an error no further task starts. Once no task is running, the error is raised here; of several errors
        that of the first task.
        """
        results: dict[int, A] = {}
        errors: dict[int, BaseException] = {}
        # Threads share this iterator. CPython's `next` on it is atomic, so no number is given out twice.
        numbers = iter(range(len(tasks)))

        def work(number: int | None) -> None:
            while number is not None:
                try:
                    results[number] = tasks[number]()
                except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
                    errors[number] = error
                number = None if errors else next(numbers, None)

        def help_out() -> None:
            work(next(numbers, None))

        first = next(numbers, None)
        helping = []
        if self._executor is not None:
            helping = [self._executor.submit(help_out) for _ in range(min(self._helpers, len(tasks) - 1))]
        work(first)
        wait(helping)
        if errors:
            raise errors[min(errors)]
        return [results[number] for number in range(len(tasks))]

    def run_pair(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Run two tasks, the first on the caller's thread; at the same time if there are two threads."""
        one, other = self.run_tasks(cast("Sequence[Callable[[], A | B]]", [first, second]))
        return cast("A", one), cast("B", other)

    def __enter__(self) -> TaskPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown()
