"""Clients, workers and the clock meet at the worst moment: exactly one wins."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.fault.deployment import Deployment, wait_until
from tests.fault.invariants import Watcher, check


def test_cancel_ends_a_running_job_within_two_seconds(deployment: Deployment, song: Path) -> None:
    job_id = deployment.submit(song, engine="slow", parameters='{"seconds": 60}')
    deployment.until_separating(job_id)
    family = set(deployment.child_pids(deployment.workers[0]))
    begun = time.monotonic()
    assert deployment.client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "canceled"
    wait_until(lambda: not family & set(deployment.child_pids(deployment.workers[0])), 2, "the child to end")
    assert time.monotonic() - begun < 2
    follower = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}')
    deployment.until(follower, "succeeded")
    check(deployment)


def test_cancel_and_finish_have_one_winner(deployment: Deployment, song: Path, watcher: Watcher) -> None:
    ends = []
    for _ in range(6):
        job_id = deployment.submit(song, engine="slow", parameters='{"seconds": 0.3}')
        deployment.until(job_id, "running", "succeeded")
        time.sleep(random.uniform(0, 1.2))
        answer = deployment.client.post(f"/v1/jobs/{job_id}/cancel")
        state = deployment.until(job_id, "succeeded", "canceled")["state"]
        assert (answer.status_code, state) in {(200, "canceled"), (202, "canceled"), (409, "succeeded")}
        ends.append(state)
    print("ends:", ends)
    check(deployment, watcher)


def test_an_interactive_job_overtakes_a_long_line_of_bulk(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=1)
    first = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}', priority="bulk")
    request = deployment.store.read(first).request
    from dataclasses import replace

    from shared.job_store import new_id

    for _ in range(10_000):
        deployment.store.submit(replace(request, parameters={"seconds": 3.0}), job_id=new_id())
    deployment.queue.dispatch()
    wait_until(lambda: deployment.queue.counts().get("running"), 20, "a bulk job to run")
    begun = time.monotonic()
    urgent = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}')
    assert time.monotonic() - begun < 2, "submitting does not wait for the line"
    published_ahead = deployment.store.read(urgent).queue_position or 0
    print("position of the interactive job among 10,000:", published_ahead)
    deployment.until(urgent, "running", "succeeded", seconds=30)
    assert deployment.job(urgent)["attempt"] == 1
    # Only what was published already may run before it: the window, two for each slot.
    assert published_ahead <= 3
    deployment.accepted.remove(first) if deployment.job(first)["state"] == "queued" else None
    deployment.queue.pause("slow")
