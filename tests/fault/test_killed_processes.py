"""Processes are killed, stopped and asked to end: no accepted job is lost, none commits twice."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.processes import RunningService
from tests.fault.support.deployment import Deployment, os_kill, wait_until
from tests.fault.support.invariants import Watcher, check

SLOW = {"engine": "slow", "parameters": '{"seconds": 3}', "no_cache": "true"}


def test_a_killed_child_is_replaced_and_its_job_runs_again(
    deployment: Deployment, song: Path, watcher: Watcher
) -> None:
    jobs = [deployment.submit(song, **SLOW) for _ in range(3)]
    for _ in range(2):
        wait_until(lambda: any(deployment.job(j)["stage"] == "separate" for j in jobs), 120)
        time.sleep(random.uniform(0, 1))
        for pid in deployment.child_pids(deployment.workers[0]):
            os_kill(pid, signal.SIGKILL)
    for job_id in jobs:
        assert deployment.until(job_id, "succeeded", "failed")["state"] == "succeeded"
    check(deployment, watcher)


def test_a_job_that_kills_its_child_every_time_fails_after_three_attempts(deployment: Deployment, song: Path) -> None:
    job_id = deployment.submit(song, **SLOW)
    while deployment.job(job_id)["state"] not in {"succeeded", "failed"}:
        if deployment.job(job_id)["stage"] == "separate":
            for pid in deployment.child_pids(deployment.workers[0]):
                os_kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    job = deployment.job(job_id)
    assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "separation_failed", 3)
    follower = deployment.submit(song, **SLOW)
    assert deployment.until(follower, "succeeded", "failed")["state"] == "succeeded"
    check(deployment)


def test_a_killed_workers_job_runs_again_elsewhere_and_nothing_of_it_is_left(
    deployment: Deployment, song: Path, watcher: Watcher
) -> None:
    job_id = deployment.submit(song, **SLOW)
    deployment.until_separating(job_id)
    victim = deployment.workers[0]
    family = deployment.child_pids(victim)
    assert family, "the worker has a child"
    os_kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: not any(psutil.pid_exists(p) and _runs(p) for p in family), 5, "the children to end with it")
    deployment.start_worker()
    job = deployment.until(job_id, "succeeded")
    assert job["attempt"] == 2
    assert [e["code"] for e in job["attempt_errors"]] == ["worker_lost"]
    check(deployment, watcher)


def test_three_lost_workers_end_a_job_and_it_can_be_retried_by_hand(deployment: Deployment, song: Path) -> None:
    job_id = deployment.submit(song, **SLOW)
    for attempt in (1, 2, 3):
        wait_until(lambda n=attempt: deployment.job(job_id)["attempt"] == n, 120, f"attempt {attempt}")
        deployment.until_separating(job_id)
        os_kill(deployment.workers[-1].pid, signal.SIGKILL)
        deployment.start_worker()
    job = deployment.until(job_id, "failed")
    assert job["error"]["code"] == "worker_lost"
    assert deployment.client.post(f"/v1/jobs/{job_id}/retry").status_code in {200, 202}
    assert deployment.until(job_id, "succeeded")["attempt"] == 1
    check(deployment)


def test_a_message_lost_between_pop_and_record_is_found(deployment: Deployment, song: Path) -> None:
    idle = deployment.workers[0]
    os_kill(idle.pid, signal.SIGSTOP)
    job_id = deployment.submit(song, **SLOW)
    time.sleep(0.5)
    os_kill(idle.pid, signal.SIGKILL)
    os_kill(idle.pid, signal.SIGCONT)
    deployment.start_worker()
    job = deployment.until(job_id, "succeeded")
    assert job["attempt"] == 1
    check(deployment)


def test_a_worker_that_is_asked_to_stop_hands_its_job_back_at_once(deployment: Deployment, song: Path) -> None:
    job_id = deployment.submit(song, **SLOW)
    deployment.until_separating(job_id)
    worker = deployment.workers[0]
    family = deployment.child_pids(worker)
    begun = time.monotonic()
    os_kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: worker.exit_code is not None, 5, "the worker to be gone within 5 s")
    assert time.monotonic() - begun < 5
    assert not any(psutil.pid_exists(p) and _runs(p) for p in family), "no child is left"
    job = deployment.job(job_id)
    assert (job["state"], job["attempt"]) == ("queued", 0), "handed back, no attempt charged"
    deployment.start_worker()
    assert deployment.until(job_id, "succeeded")["attempt"] == 1
    check(deployment)


def test_a_worker_frozen_past_its_lease_cannot_commit(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=1)
    job_id = deployment.submit(song, **SLOW)
    deployment.until_separating(job_id)
    frozen = deployment.workers[0]
    family = [frozen.pid, *deployment.child_pids(frozen)]
    for pid in family:
        os_kill(pid, signal.SIGSTOP)
    deployment.start_worker()
    job = deployment.until(job_id, "succeeded")
    assert job["attempt"] == 2
    for pid in family:
        os_kill(pid, signal.SIGCONT)
    wait_until(lambda: any("claim lost" in line for line in deployment.lines), 120, "the old claim to notice")
    after = deployment.job(job_id)
    assert after["stems"] == job["stems"], "the old fence changed nothing"
    check(deployment)


def test_the_same_message_ten_times_is_one_claim(deployment: Deployment, song: Path) -> None:
    job_id = deployment.submit(song, **SLOW)
    for _ in range(9):
        deployment.queue._send(["slow", "interactive", job_id])
    job = deployment.until(job_id, "succeeded")
    assert job["attempt"] == 1
    ignored = lambda: sum("message without a job" in line for line in deployment.lines)
    wait_until(lambda: ignored() == 9, 120, "nine messages to be ignored")
    check(deployment)


@pytest.mark.slow
def test_a_killed_workers_job_runs_again_within_90_s_on_the_real_settings(
    deploy: Callable[..., Deployment], song: Path
) -> None:
    defaults = {
        "LEASE_SECONDS": "60",
        "HEARTBEAT_SECONDS": "1",
        "RESCUE_SECONDS": "15",
        "UNCLAIMED_SECONDS": "30",
        "WORKER_ALIVE_SECONDS": "30",
    }
    deployment = deploy(workers=2, **defaults)
    job_id = deployment.submit(song, engine="slow", parameters='{"seconds": 6}')
    deployment.until_separating(job_id)
    victim = next(w for w in deployment.workers if _is_busy(deployment, w))
    killed_at = time.monotonic()
    os_kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: deployment.job(job_id)["attempt"] == 2, 90, "the second attempt")
    print(f"running again after {time.monotonic() - killed_at:.1f} s")
    assert deployment.until(job_id, "succeeded")["attempt"] == 2
    check(deployment)


def _is_busy(deployment: Deployment, worker: RunningService) -> bool:
    folders = deployment.scratch_folder.glob(f"*-{worker.pid}-*/jobs/*")
    return any(f.is_dir() for f in folders)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
