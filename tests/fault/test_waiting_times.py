"""Places in line and times left, as a running queue shows them: right within a factor of two."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.fault.support.deployment import Deployment

JOBS = 7

SECONDS = 3.0

PATIENCE_SECONDS = 400.0
"""Separation yields to whatever else a machine does."""


def moment(job: dict[str, Any], name: str) -> float:
    """Return one of a job's times in seconds since 1970."""
    return datetime.fromisoformat(job["times"][name]).timestamp()


@dataclass(frozen=True)
class Look:
    """What a job showed at some moment between two times."""

    job_id: str
    begun: float
    done: float
    job: dict[str, Any]


def follow(deployment: Deployment, job_ids: list[str]) -> tuple[dict[str, float], list[Look]]:
    """Return when each job ended, and what each look at each showed until then."""
    ended: dict[str, float] = {}
    looks: list[Look] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(ended) < len(job_ids) and time.monotonic() < deadline:
        for job_id in job_ids:
            if job_id not in ended:
                begun = time.time()
                look = Look(job_id, begun, job=deployment.job(job_id), done=time.time())
                looks.append(look)
                if look.job["state"] == "succeeded":
                    ended[job_id] = moment(look.job, "finished_at")
        time.sleep(0.3)
    assert len(ended) == len(job_ids)
    return ended, looks


def wrong_estimates(looks: list[Look], ended: dict[str, float], job_seconds: list[float]) -> list[tuple[object, ...]]:
    """Return the estimates that no job length seen in this run explains, within a factor of two.

    Jobs run one after another. So until a job's end, it and the jobs ahead of it take their time, of which one may be
    almost done. How long a job takes depends on what else the machine does; the shortest and the longest of this run
    are the bounds.
    """
    wrong = []
    for look in looks:
        eta, end = look.job["eta_seconds"], ended[look.job_id]
        if eta is None or look.job["state"] == "succeeded":
            continue
        at_most = sum(look.begun < other <= end for other in ended.values())
        ahead_for_sure = sum(look.done < other < end for other in ended.values())
        low, high = ahead_for_sure * min(job_seconds) / 2, at_most * max(job_seconds) * 2
        # A second is within the noise of a look.
        if not low - 1 <= eta <= high + 1:
            wrong.append((look.job["state"], look.job["queue_position"], eta, round(low, 1), round(high, 1)))
    return wrong


def test_places_and_times_hold_on_a_running_queue(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=1)

    def submit() -> str:
        return deployment.submit(song, engine="slow", parameters=f'{{"seconds": {SECONDS}}}')

    # The first meets a child that still comes up; after three, little of that is left in what the server has learnt.
    earlier = [deployment.until(submit(), "succeeded") for _ in range(3)]
    jobs = [submit() for _ in range(JOBS)]
    ended, looks = follow(deployment, jobs)
    in_order = [ended[job_id] for job_id in jobs]
    assert in_order == sorted(in_order), "first come, first served"
    places: dict[str, list[int]] = {job_id: [] for job_id in jobs}
    for look in looks:
        if look.job["queue_position"]:
            places[look.job_id].append(look.job["queue_position"])
    for shown in places.values():
        assert shown == sorted(shown, reverse=True), "a place in line only gets better"
    job_seconds = [moment(job, "finished_at") - moment(job, "started_at") for job in earlier[1:]]
    job_seconds += [end - before for before, end in itertools.pairwise(in_order)]
    far = [look for look in looks if look.job["eta_seconds"] is not None and ended[look.job_id] >= in_order[3]]
    assert len(far) > 20, "enough estimates of jobs with others ahead"
    wrong = wrong_estimates(looks, ended, job_seconds)
    assert not wrong, (wrong, job_seconds)
    # The same check finds estimates that are wrong: of the job alone, as if none were ahead, and far too long ones.
    for mistake in (lambda eta: min(eta, SECONDS / 2), lambda eta: 5 * eta * max(job_seconds) / min(job_seconds)):
        changed = [replace(look, job={**look.job, "eta_seconds": mistake(look.job["eta_seconds"])}) for look in far]
        assert wrong_estimates(changed, ended, job_seconds), job_seconds


def test_a_full_queue_says_when_to_come_back(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=1, MAX_QUEUED_JOBS="1")
    for _ in range(6):
        with song.open("rb") as file:
            answer = deployment.client.post("/v1/jobs", files={"file": ("a.flac", file)}, data={"engine": "slow"})
        if answer.status_code == 503:
            break
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert 2 <= int(answer.headers["Retry-After"]) <= 60
