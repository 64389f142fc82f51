"""Which of several workers takes a job: one that can begin at once, if there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.deployment import Deployment
from tests.fault.invariants import check

LONG, SHORT = '{"seconds": 25}', '{"seconds": 0.2}'


@pytest.mark.parametrize("priority", ["interactive", "bulk"])
def test_a_job_does_not_wait_in_a_busy_worker_while_another_is_idle(
    deploy: Callable[..., Deployment], song: Path, priority: str
) -> None:
    deployment = deploy(workers=2)
    long = deployment.submit(song, engine="slow", parameters=LONG, priority="bulk")
    deployment.until_separating(long)
    for _ in range(8):
        short = deployment.submit(song, engine="slow", parameters=SHORT, priority=priority)
        deployment.until(short, "succeeded", seconds=20)
    assert deployment.job(long)["state"] == "running", "none of them waited for its end"
    assert deployment.job(long)["attempt"] == 1
    deployment.client.post(f"/v1/jobs/{long}/cancel").raise_for_status()
    check(deployment)


def test_while_all_are_busy_the_next_song_is_fetched(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=2)
    jobs = [deployment.submit(song, engine="slow", parameters='{"seconds": 6}', priority="bulk") for _ in range(4)]
    for job_id in jobs[:2]:
        deployment.until_separating(job_id)
    for job_id in jobs[2:]:
        assert deployment.until(job_id, "running", seconds=10)["stage"] == "fetch", "before a slot is free"
    for job_id in jobs:
        deployment.until(job_id, "succeeded")
    check(deployment)
