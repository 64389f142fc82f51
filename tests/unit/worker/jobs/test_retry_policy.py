"""Whether a failed attempt is followed by another, and how long the pause is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from shared.errors import ScratchFullError, SeparationFailedError
from shared.jobs.model import Job, JobState
from shared.jobs.request import JobRequest, Source
from shared.settings import Settings
from worker.jobs.retry_policy import WORKER_LOST, retry_pause_seconds

SETTINGS = Settings(max_retries=2, max_losses=4, retry_base_seconds=10)

SOURCE = Source(key="in", filename="in.wav", size_bytes=1)
JOB = Job(id="a", state=JobState.RUNNING, request=JobRequest(SOURCE, "unet"), version=1, created_at=0.0)


def after(*codes: str) -> Job:
    """Return the job after attempts that failed with these codes."""
    return replace(JOB, attempt_errors=tuple({"code": code} for code in codes))


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, _high: 1.0)


@pytest.mark.parametrize(("failed_before", "pause"), [(0, 10.0), (1, 20.0), (2, None)])
def test_the_pause_doubles_until_there_are_no_more_retries(failed_before: int, pause: float | None) -> None:
    job = after(*[ScratchFullError.code] * failed_before)
    assert retry_pause_seconds(job, ScratchFullError.code, retryable=True, settings=SETTINGS) == pause


def test_lost_workers_do_not_count_as_failed_attempts() -> None:
    job = after(WORKER_LOST, WORKER_LOST)
    assert retry_pause_seconds(job, ScratchFullError.code, retryable=True, settings=SETTINGS) == 10.0


@pytest.mark.parametrize(("failed_before", "is_retried"), [(2, True), (3, False)])
def test_a_job_that_breaks_its_child_has_as_many_attempts_as_one_that_loses_workers(
    failed_before: int, is_retried: bool
) -> None:
    job = after(*[SeparationFailedError.code] * failed_before)
    pause = retry_pause_seconds(job, SeparationFailedError.code, retryable=True, settings=SETTINGS)
    assert (pause is not None) == is_retried


def test_what_no_attempt_can_mend_is_not_tried_again() -> None:
    assert retry_pause_seconds(JOB, "unreadable", retryable=False, settings=SETTINGS) is None
