"""Which values a FIFO cache keeps, and which it removes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from shared.fifo_cache import FifoCache


def test_the_one_that_was_put_in_first_goes() -> None:
    recent = FifoCache[str, int](2)
    for name, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        recent.put(name, value)
    assert [recent.get(name) for name in "abc"] == [3, None, 4]
    recent.forget("a")
    recent.forget("never")
    assert (recent.get("a"), len(recent)) == (None, 1)


def test_many_threads_never_pass_its_size() -> None:
    recent = FifoCache[int, int](10)
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda n: (recent.put(n % 50, n), len(recent))[1], range(5000)))
    assert max(sizes) <= 10
