"""The threads of one run for what surrounds the engine: measuring, encoding, telling.

Owns how tasks that need nothing of each other are spread over a job's share of the cores, the caller's own thread among
them. An engine has threads of its own; who uses a crew sees to it that the two do not work at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar, cast

A = TypeVar("A")
B = TypeVar("B")


class Crew:
    """A context with at most `threads - 1` threads beside the caller's own; none is left when it ends."""

    def __init__(self, threads: int) -> None:
        self._helpers = max(0, threads - 1)
        # Threads are started when there is work for them.
        self._pool = ThreadPoolExecutor(self._helpers, thread_name_prefix="crew") if self._helpers else None

    def run(self, tasks: Sequence[Callable[[], A]]) -> list[A]:
        """Run the tasks, begun in their order, the first on the caller's thread; return their results.

        Once one has raised, no other begins; when none runs any more, what it raised is raised here.
        """
        results: dict[int, A] = {}
        errors: dict[int, BaseException] = {}
        # `next` on a range's iterator is one step of the interpreter: no number is given twice.
        numbers = iter(range(len(tasks)))

        def work(number: int | None) -> None:
            while number is not None:
                try:
                    results[number] = tasks[number]()
                except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
                    errors[number] = error
                number = None if errors else next(numbers, None)

        first = next(numbers, None)
        helping = []
        if self._pool is not None:
            helpers = range(min(self._helpers, len(tasks) - 1))
            helping = [self._pool.submit(lambda: work(next(numbers, None))) for _ in helpers]
        work(first)
        wait(helping)
        if errors:
            raise errors[min(errors)]
        return [results[number] for number in range(len(tasks))]

    def pair(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Run two tasks side by side, the first on the caller's thread, where there are two threads."""
        one, other = self.run(cast("Sequence[Callable[[], A | B]]", [first, second]))
        return cast("A", one), cast("B", other)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
