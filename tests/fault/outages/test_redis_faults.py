"""Redis restarts, hangs, cuts connections and fills up: nothing is lost, and nobody hangs with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from tests.fault.support.deployment import Deployment, os_kill, wait_until
from tests.fault.support.invariants import Watcher, check

SLOW = {"engine": "slow", "parameters": '{"seconds": 3}', "no_cache": "true"}


def answers_503_in_time(deployment: Deployment) -> bool:
    """Ask for a job while Redis is away; assert what the promise says, whatever the answer."""
    begun = time.monotonic()
    answer = deployment.client.get(f"/v1/jobs/{deployment.accepted[0]}")
    took = time.monotonic() - begun
    if answer.status_code != 503:
        return False
    assert took < 2, f"503 took {took:.1f} s"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    return True


def test_a_killed_redis_comes_back_with_everything_and_nothing_commits_twice(
    deployment: Deployment, song: Path, watcher: Watcher
) -> None:
    jobs = [deployment.submit(song, **SLOW) for _ in range(3)]
    deployment.until_separating(jobs[0])
    deployment.valkey.kill()
    wait_until(lambda: answers_503_in_time(deployment), 60, "503 while Redis is away")
    assert deployment.client.get("/readyz").status_code == 503
    time.sleep(2)
    deployment.valkey.start()
    for job_id in jobs:
        job = deployment.until(job_id, "succeeded")
        assert job["attempt"] == 1, "the running job went on, the others waited"
    check(deployment, watcher)


def test_a_hung_redis_hangs_nobody_and_workers_resume_by_themselves(
    deployment: Deployment, song: Path, watcher: Watcher
) -> None:
    jobs = [deployment.submit(song, **SLOW) for _ in range(2)]
    deployment.until_separating(jobs[0])
    os_kill(deployment.valkey.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: answers_503_in_time(deployment), 60, "503 while Redis hangs")
        begun = time.monotonic()
        with song.open("rb") as file:
            answer = deployment.client.post("/v1/jobs", files={"file": ("song.flac", file)}, data=SLOW)
        assert answer.status_code == 503
        assert time.monotonic() - begun < 2.5, "submitting does not hang either"
        time.sleep(4)  # past every lease
    finally:
        os_kill(deployment.valkey.pid, signal.SIGCONT)
    for job_id in jobs:
        assert deployment.until(job_id, "succeeded")["attempt_errors"] == [], "a rescue that Redis ran late charged it"
    check(deployment, watcher)


@pytest.mark.slow
def test_redis_unreachable_for_a_minute(deployment: Deployment, song: Path, watcher: Watcher) -> None:
    jobs = [deployment.submit(song, **SLOW) for _ in range(2)]
    deployment.until_separating(jobs[0])
    deployment.redis_proxy.mode = "swallow"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        wait_until(lambda: answers_503_in_time(deployment), 60, "503 while Redis is unreachable")
        time.sleep(1)
    deployment.redis_proxy.mode = "pass"
    for job_id in jobs:
        deployment.until(job_id, "succeeded")
    check(deployment, watcher)


def test_cut_connections_make_no_second_run(deployment: Deployment, song: Path, watcher: Watcher) -> None:
    jobs = [deployment.submit(song, **SLOW) for _ in range(3)]
    deployment.until_separating(jobs[0])
    for _ in range(5):
        deployment.redis_proxy.reset_all()
        time.sleep(0.5)
    for job_id in jobs:
        assert deployment.until(job_id, "succeeded")["attempt"] == 1
    check(deployment, watcher)


def codes_of_submissions(deployment: Deployment, song: Path) -> set[str]:
    """Try to submit a job, a batch and an upload; return the codes of the refusals."""
    batch = {"items": [{"track": "a", "source": {"upload_id": "0" * 32}}]}
    answers = [
        deployment.client.post("/v1/jobs", files={"file": ("song.flac", song.read_bytes())}, data=SLOW),
        deployment.client.post("/v1/batches", json=batch),
        deployment.client.post("/v1/uploads", content=song.read_bytes()),
    ]
    assert {answer.status_code for answer in answers} == {503}, [answer.text for answer in answers]
    assert all(int(answer.headers["Retry-After"]) > 5 for answer in answers)
    return {answer.json()["code"] for answer in answers}


def test_a_redis_that_gets_full_takes_nothing_new_and_ends_what_it_has(deployment: Deployment, song: Path) -> None:
    deployment.until(deployment.submit(song, **SLOW), "succeeded", seconds=180)  # from here on its child is warm
    jobs = [deployment.submit(song, **SLOW) for _ in range(4)]
    deployment.until_separating(jobs[0])
    redis = deployment.store._redis
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] / 0.95))
    time.sleep(1.5)  # what was known of its memory counts for a second
    assert codes_of_submissions(deployment, song) == {"queue_memory_full"}
    faults = deployment.client.get("/readyz").json()["faults"]
    assert list(faults) == ["redis"]
    assert "maxmemory" in faults["redis"]
    canceled = jobs.pop()
    assert deployment.client.post(f"/v1/jobs/{canceled}/cancel").json()["state"] == "canceled"
    for job_id in jobs:
        assert deployment.until(job_id, "succeeded")["attempt"] == 1
    assert deployment.client.delete(f"/v1/jobs/{jobs.pop()}").status_code == 204
    redis.config_set("maxmemory", "256mb")
    wait_until(lambda: deployment.client.get("/readyz").status_code == 200, 120, "room to be seen")
    deployment.accepted = [deployment.accepted[0], canceled, *jobs, deployment.submit(song, **SLOW)]
    deployment.until(deployment.accepted[-1], "succeeded")
    check(deployment)


def test_past_its_limit_redis_still_takes_ends_and_workers_stay(deployment: Deployment, song: Path) -> None:
    deployment.until(deployment.submit(song, **SLOW), "succeeded", seconds=180)
    # More than the worker takes at once: messages wait, and its threads take them while Redis is full.
    jobs = [deployment.submit(song, **SLOW) for _ in range(6)]
    deployment.until_separating(jobs[0])
    redis, told = deployment.store._redis, len(deployment.lines)
    redis.config_set("maxmemory", "1mb")
    time.sleep(1.5)
    assert codes_of_submissions(deployment, song) == {"queue_memory_full"}
    for job_id in jobs[:4]:
        assert deployment.until(job_id, "succeeded")["attempt"] == 1
    assert deployment.client.post(f"/v1/jobs/{jobs[5]}/cancel").json()["state"] == "canceled"
    assert deployment.client.delete(f"/v1/jobs/{jobs[0]}").status_code == 204
    time.sleep(6)  # past the worker's being alive, and every lease
    assert list(deployment.client.get("/readyz").json()["faults"]) == ["redis"], "the worker is not blamed"
    worker = [line for line in deployment.lines[told:] if line.startswith("worker0")]
    assert not [line for line in worker if "consumer" in line or "[error" in line or "[critical" in line]
    redis.config_set("maxmemory", "256mb")
    # Each process of the API remembers for a moment how full Redis was.
    wait_until(lambda: deployment.client.get("/readyz").status_code == 200, 120, "Redis to have room")
    assert deployment.until(jobs[4], "succeeded")["attempt"] == 1
    deployment.accepted = [deployment.accepted[0], *jobs[1:], deployment.submit(song, **SLOW)]
    deployment.until(deployment.accepted[-1], "succeeded")
    assert deployment.workers[0].exit_code is None
    check(deployment)


def test_a_publication_that_never_happened_is_made_up_for(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=1)
    job_id = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}')
    deployment.until(job_id, "succeeded")
    # The API dies between the record and the message: the window holds the job, and no message is out.
    deployment.queue.pause("slow")
    lost = deployment.submit(song, engine="slow", parameters='{"seconds": 0.5}')
    deployment.store._redis.srem("sq:paused", "slow")
    deployment.queue._scripts.run("queue/dispatch", alive_ms=30_000)
    deployment.until(lost, "succeeded")
    check(deployment)


def test_clocks_an_hour_apart_leave_leases_alone(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(workers=0)
    ahead = Path(__file__).parents[1] / "support" / "clock_an_hour_ahead"
    deployment.start_worker(PYTHONPATH=f"{ahead}{os.pathsep}{Path(__file__).parents[3]}")
    jobs = [deployment.submit(song, engine="slow", parameters='{"seconds": 5}') for _ in range(2)]
    for job_id in jobs:
        assert deployment.until(job_id, "succeeded")["attempt"] == 1
    (told,) = [line for line in deployment.lines if "attempt begins" in line and jobs[0] in line]
    assert datetime.fromisoformat(told.split()[1]) > datetime.now(UTC) + timedelta(minutes=50), "its clock was wrong"
    deployment.start_worker()  # with the right time, beside the other
    jobs = [deployment.submit(song, engine="slow", parameters='{"seconds": 5}') for _ in range(3)]
    for job_id in jobs:
        assert deployment.until(job_id, "succeeded")["attempt"] == 1
    check(deployment)


def test_fifty_submissions_with_one_key_are_one_job(deployment: Deployment, song: Path) -> None:
    content = song.read_bytes()

    def submit(_: int) -> httpx2.Response:
        with httpx2.Client(base_url=deployment.client.base_url, timeout=30) as client:
            return client.post(
                "/v1/jobs",
                files={"file": ("song.flac", content)},
                data={"engine": "slow", "parameters": '{"seconds": 0.5}'},
                headers={"Idempotency-Key": "the-same"},
            )

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(submit, range(50)))
    accepted = {a.json()["id"] for a in answers if a.status_code == 202}
    assert len(accepted) == 1
    assert {a.status_code for a in answers} <= {202, 409}, "the same again, or still in flight"
    other = deployment.client.post(
        "/v1/jobs", files={"file": ("song.flac", content[:-1])}, headers={"Idempotency-Key": "the-same"}
    )
    assert other.status_code == 422
    deployment.accepted.extend(accepted)
    deployment.until(accepted.pop(), "succeeded")
    check(deployment)
