"""How large chains may be, and how many items a line of a manifest becomes."""

from __future__ import annotations

from typing import Any

import pytest

from shared.chains import count_jobs, problem_of_chain


def nested(levels: int) -> list[dict[str, Any]]:
    return [{"from": "vocals", "then": nested(levels - 1)}] if levels else []


@pytest.mark.parametrize(
    ("then", "jobs"),
    [
        (None, 1),
        ([], 1),
        ("vocals", 1),
        ({}, 1),
        ([{"from": "vocals"}], 2),
        (["what is wrong is counted too", 5], 3),
        ([{"then": "vocals"}, {"then": None}], 3),
        (nested(4), 5),
        ([*nested(4), *nested(3)], 8),
    ],
)
def test_jobs_are_counted_whatever_they_are(then: object, jobs: int) -> None:
    assert (problem_of_chain(then), count_jobs(then)) == (None, jobs)


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        (nested(5), "4 deep"),
        (nested(500), "4 deep"),
        ([{}] * 8, "at most 8 jobs"),
        ([*nested(4), *nested(4)], "at most 8 jobs"),
        ([{"then": [{"then": [{}] * 3}] * 3}], "at most 8 jobs"),
    ],
)
def test_large_chains_are_refused_and_become_one_item(then: object, problem: str) -> None:
    assert problem in str(problem_of_chain(then))
    assert count_jobs(then) == 1
