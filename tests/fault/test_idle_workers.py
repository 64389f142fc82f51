"""Which of several workers takes a job: one that can begin at once, if there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.support.deployment import Deployment
from tests.fault.support.invariants import check

LONG, SHORT = '{"seconds": 600}', '{"seconds": 0.2}'


@pytest.mark.parametrize("priority", ["interactive", "bulk"])
def test_a_job_does_not_wait_in_a_busy_worker_while_another_is_idle(
    deploy: Callable[..., Deployment], song: Path, priority: str
) -> None:
    deployment = deploy(workers=2)
    long = deployment.submit(song, engine="slow", parameters=LONG, priority="bulk")
    deployment.until_separating(long)
    for _ in range(8):
        short = deployment.submit(song, engine="slow", parameters=SHORT, priority=priority)
        deployment.until(short, "succeeded")
    assert deployment.job(long)["state"] == "running", "none of them waited for its end"
    assert deployment.job(long)["attempt"] == 1
    deployment.client.post(f"/v1/jobs/{long}/cancel").raise_for_status()
    check(deployment)


def test_while_all_are_busy_the_next_songs_are_fetched(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=2)
    jobs = [deployment.submit(song, engine="slow", parameters=LONG, priority="bulk") for _ in range(4)]
    for job_id in jobs[:2]:
        deployment.until_separating(job_id)
    for job_id in jobs[2:]:
        assert deployment.until(job_id, "running")["stage"] == "fetch", "no slot is free"
    for job_id in jobs:
        deployment.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    check(deployment)


def test_what_was_fetched_ahead_goes_to_the_first_worker_that_is_free(
    deploy: Callable[..., Deployment], song: Path
) -> None:
    deployment = deploy(workers=2)
    stays, goes = (deployment.submit(song, engine="slow", parameters=LONG, priority="bulk") for _ in range(2))
    for job_id in (stays, goes):
        deployment.until_separating(job_id)
    # Both may be with the worker that stays busy.
    ahead = [deployment.submit(song, engine="slow", parameters=SHORT, priority="bulk") for _ in range(2)]
    for job_id in ahead:
        deployment.until(job_id, "running")
    deployment.client.post(f"/v1/jobs/{goes}/cancel").raise_for_status()
    for job_id in ahead:
        assert deployment.until(job_id, "succeeded")["attempt"] == 1, "what is handed on is not charged"
    assert deployment.job(stays)["state"] == "running", "neither waited behind it"
    deployment.client.post(f"/v1/jobs/{stays}/cancel").raise_for_status()
    check(deployment)
