"""How large a chain of jobs is that a request or a line of a manifest asks for with `then`.

Server and client both count the items that a line of a manifest becomes, so this module uses the standard library only.
"""

from __future__ import annotations

MAX_CHAIN_JOBS = 8
"""The most jobs of a chain, the first included. Redis writes them in one step, and may end them in one."""

MAX_CHAIN_DEPTH = 4
"""How deep `then` may be nested."""


def measure_chain(then: object) -> tuple[int, int]:
    """Return how many jobs `then` adds, and how deep it is nested, whatever it is; both are counted to their limits."""
    jobs, depth, lists = 0, 0, [then]
    while lists := [entries for entries in lists if isinstance(entries, list) and entries]:
        depth += 1
        jobs += sum(map(len, lists))
        if jobs >= MAX_CHAIN_JOBS or depth > MAX_CHAIN_DEPTH:
            break
        lists = [entry.get("then") for entries in lists for entry in entries if isinstance(entry, dict)]
    return jobs, depth


def problem_of_chain(then: object) -> str | None:
    """Return why a chain is too large; None if it is not."""
    jobs, depth = measure_chain(then)
    if depth > MAX_CHAIN_DEPTH:
        return f"must not be nested more than {MAX_CHAIN_DEPTH} deep"
    if jobs >= MAX_CHAIN_JOBS:
        return f"a chain has at most {MAX_CHAIN_JOBS} jobs, the first included"
    return None


def count_jobs(then: object) -> int:
    """Return how many jobs a request with this `then` makes; 1 if the chain is too large, because it is refused."""
    return 1 if problem_of_chain(then) else 1 + measure_chain(then)[0]
