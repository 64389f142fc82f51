"""Places in line and times left, as a running queue shows them: right within a factor of two."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fault.deployment import Deployment

JOBS = 7

SECONDS = 3.0


def follow(
    deployment: Deployment, job_ids: list[str]
) -> tuple[dict[str, float], list[tuple[str, float, dict[str, Any]]]]:
    """Return when each job ended, and what each look at each showed until then."""
    ended: dict[str, float] = {}
    looks: list[tuple[str, float, dict[str, Any]]] = []
    deadline = time.monotonic() + 120
    while len(ended) < len(job_ids) and time.monotonic() < deadline:
        for job_id in job_ids:
            if job_id not in ended:
                job, now = deployment.job(job_id), time.monotonic()
                looks.append((job_id, now, job))
                if job["state"] == "succeeded":
                    ended[job_id] = now
        time.sleep(0.3)
    assert len(ended) == len(job_ids)
    return ended, looks


def test_places_and_times_hold_on_a_running_queue(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=1)
    # The first meets a child that still comes up.
    for _ in range(2):
        earlier = deployment.submit(song, engine="slow", parameters=f'{{"seconds": {SECONDS}}}')
        deployment.until(earlier, "succeeded")
    jobs = [deployment.submit(song, engine="slow", parameters=f'{{"seconds": {SECONDS}}}') for _ in range(JOBS)]
    ended, looks = follow(deployment, jobs)
    assert sorted(jobs, key=ended.__getitem__) == jobs, "first come, first served"
    places: dict[str, list[int]] = {job_id: [] for job_id in jobs}
    told: dict[str, int] = {"queued": 0, "running": 0}
    wrong: dict[str, list[tuple[object, ...]]] = {"queued": [], "running": []}
    for job_id, moment, job in looks:
        if job["queue_position"]:
            places[job_id].append(job["queue_position"])
        left = ended[job_id] - moment
        # A time of less than a job's own is within the noise of a look and a heartbeat.
        if job["eta_seconds"] is not None and left > SECONDS:
            told[job["state"]] += 1
            if not 0.5 <= job["eta_seconds"] / left <= 2:
                wrong[job["state"]].append((job["queue_position"], job["eta_seconds"], round(left, 1)))
    for shown in places.values():
        assert shown == sorted(shown, reverse=True), "a place in line only gets better"
    assert min(told.values()) > 10
    assert not wrong["queued"]
    # Of a job that has just begun a busy machine shows little.
    assert len(wrong["running"]) <= 0.15 * told["running"], wrong


def test_a_full_queue_says_when_to_come_back(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=1, MAX_QUEUED_JOBS="1")
    for _ in range(6):
        with song.open("rb") as file:
            answer = deployment.client.post("/v1/jobs", files={"file": ("a.flac", file)}, data={"engine": "slow"})
        if answer.status_code == 503:
            break
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert 2 <= int(answer.headers["Retry-After"]) <= 60
