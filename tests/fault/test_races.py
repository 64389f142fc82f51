"""Clients, workers and the clock meet at the worst moment: exactly one wins."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from shared.jobs.store import new_id
from tests.fault.conftest import make_song
from tests.fault.support.deployment import Deployment, wait_until
from tests.fault.support.invariants import Watcher, check

SLEEPS = {"engine": "slow", "parameters": '{"seconds": 4}'}


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
    # A simulation: the engine only sleeps, so that 10,000 jobs need not be songs.
    deployment = deploy(workers=1)
    first = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}', priority="bulk")
    request = deployment.store.read_job(first).request
    for _ in range(10_000):
        deployment.store.submit(replace(request, parameters={"seconds": 3.0}), job_id=new_id())
    deployment.queue.dispatch()
    deployment.until(first, "succeeded")
    wait_until(
        lambda: deployment.statistics.jobs_by_state().get("running", 0) >= 2, 120, "bulk jobs to run, and to be fetched"
    )
    begun = time.monotonic()
    urgent = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}')
    done_before = deployment.statistics.jobs_by_state()["succeeded"]
    assert time.monotonic() - begun < 2, "submitting does not wait for the line"
    place = deployment.job(urgent)["queue_position"] or 1
    wait_until(lambda: deployment.job(urgent)["stage"] == "separate", 120, "the interactive job to be separated")
    done_after = deployment.statistics.jobs_by_state()["succeeded"]
    print(f"place {place}; after {time.monotonic() - begun:.1f} s and {done_after - done_before} bulk jobs of 3 s each")
    assert place == 1
    assert done_after - done_before <= 1, "it started within one running job's time"
    deployment.until(urgent, "succeeded")
    wait_until(lambda: deployment.statistics.jobs_by_state()["succeeded"] > done_after + 1, 120, "bulk to go on")
    deployment.queue.pause("slow")


def test_a_slot_that_is_kept_for_interactive_jobs_stays_free_of_bulk(
    deploy: Callable[..., Deployment], song: Path
) -> None:
    deployment = deploy(WORKER_SLOTS="2", INTERACTIVE_SLOTS="1")
    bulk = [deployment.submit(song, **SLEEPS, priority="bulk") for _ in range(3)]
    deployment.until_separating(bulk[0])
    urgent = deployment.submit(song, **SLEEPS)
    deployment.until_separating(urgent)
    assert [deployment.job(i)["state"] for i in bulk].count("succeeded") == 0, "it waited for none of them"
    assert [deployment.job(i)["stage"] for i in bulk].count("separate") == 1, "bulk has the one slot that it may have"
    for job_id in (*bulk, urgent):
        deployment.until(job_id, "succeeded")
    check(deployment)


def test_a_worker_for_interactive_jobs_alone_leaves_bulk_to_others(
    deploy: Callable[..., Deployment], song: Path
) -> None:
    deployment = deploy(INTERACTIVE_SLOTS="1")
    bulk = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}', priority="bulk")
    urgent = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}')
    deployment.until(urgent, "succeeded")
    assert deployment.job(bulk)["state"] == "queued"
    deployment.start_worker(INTERACTIVE_SLOTS="0")
    deployment.until(bulk, "succeeded")
    check(deployment)


def test_a_real_song_overtakes_real_songs(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    song = make_song(tmp_path / "song.wav", 60.0)
    deployment = deploy(workers=1)
    bulk = [deployment.submit(song, engine="repetition", priority="bulk") for _ in range(6)]
    wait_until(
        lambda: deployment.statistics.jobs_by_state().get("running", 0) >= 2,
        120,
        "a song to run, and one to be fetched",
    )
    done_before = deployment.statistics.jobs_by_state().get("succeeded", 0)
    urgent = deployment.submit(song, engine="repetition")
    deployment.until(urgent, "succeeded")
    done_after = sum(deployment.job(i)["state"] == "succeeded" for i in bulk)
    print(f"{done_after - done_before} of 6 real songs went before it")
    assert done_after - done_before <= 2, "only what ran already went before it, and what ended meanwhile"
    for job_id in bulk:
        deployment.until(job_id, "succeeded")
    check(deployment)
