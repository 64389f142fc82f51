"""The course of a run, from which waiting times are estimated."""

from __future__ import annotations

import pytest

from worker.jobs.course import FETCHED, SEPARATED, course_of
from worker.run_messages import STAGE_SHARES


def test_each_stage_has_the_share_of_the_time_that_it_took() -> None:
    seconds = {"probe": 1.0, "decode": 1.0, "separate": 4.0, "encode": 1.0, "illustrate": 1.0}
    course = course_of(seconds, busy_seconds=9.0, spent_seconds=10.0)
    assert [share for _, share in course] == pytest.approx([0.2, 0.3, 0.7, 0.8, 0.9])
    assert course[-1][0] == pytest.approx(SEPARATED)
    assert course[0][0] == pytest.approx(FETCHED + (SEPARATED - FETCHED) * STAGE_SHARES["probe"])


def test_a_run_that_tells_no_stages_still_has_a_course_within_bounds() -> None:
    for course in (course_of({}, 2.0, 2.5), course_of({"separate": 9.0}, 1.0, 1.0), course_of({}, 0.0, 0.0)):
        shares = [share for _, share in course]
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] <= 1
