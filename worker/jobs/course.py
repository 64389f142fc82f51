"""How far a run was at which share of its time: from this, the queue learns to estimate the time that is left."""

from __future__ import annotations

from collections.abc import Mapping

from shared.jobs.claims import Course
from worker.run_messages import STAGE_SHARES, overall_progress

FETCHED, SEPARATED = 0.03, 0.95
"""The job's progress when the fetch has ended, and when the upload begins."""


def course_of(stage_seconds: Mapping[str, float], busy_seconds: float, spent_seconds: float) -> Course:
    """Return the progress and the share of `spent_seconds` at the end of each stage of a run.

    `busy_seconds` is how long the run held a child; time outside of the stages counts as before the first.
    """
    course, before = list[tuple[float, float]](), busy_seconds - sum(stage_seconds.get(s, 0.0) for s in STAGE_SHARES)
    for stage in STAGE_SHARES:
        before += stage_seconds.get(stage, 0.0)
        done = FETCHED + (SEPARATED - FETCHED) * overall_progress(stage, 1.0)
        course.append((done, min(1.0, max(0.0, before / max(spent_seconds, 0.001)))))
    return course
