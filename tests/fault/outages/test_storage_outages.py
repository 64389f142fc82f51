"""The storage is away, in every phase of a job and for longer than anybody retries: it costs no attempt, and no job."""

from __future__ import annotations

import math
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fault.conftest import make_song
from tests.fault.support.deployment import Deployment, os_kill, wait_until
from tests.fault.support.invariants import Watcher, check
from tests.fixtures.sounds.songs import Songs

SLOW = {"engine": "slow", "parameters": '{"seconds": 2}', "no_cache": "true"}

OUTAGE_SECONDS = 16.0
"""Longer than four attempts with their retries and pauses take in these settings."""

PATIENCE_SECONDS = 200.0
"""Separation yields to whatever else a machine does."""


def cut(deployment: Deployment, mode: str) -> None:
    deployment.storage_proxy.mode = mode
    deployment.storage_proxy.reset_all()


def mend(deployment: Deployment) -> None:
    deployment.storage_proxy.mode = "pass"
    deployment.storage_proxy.bytes_per_second = None
    deployment.storage_proxy.refuses = lambda _: False


def runs(deployment: Deployment, job_id: str) -> int:
    """Return how often a job was begun."""
    return sum("attempt begins" in line and job_id in line for line in deployment.lines)


def assert_uncharged(deployment: Deployment, job: dict[str, Any]) -> None:
    assert (job["state"], job["attempt"], job["attempt_errors"], job["error"]) == ("succeeded", 1, [], None), job
    assert job["waiting_for"] is None
    (record,) = deployment.store.read_jobs([job["id"]])
    assert record.losses == 0


def until_ended(deployment: Deployment, job_id: str) -> dict[str, Any]:
    return deployment.until(job_id, "succeeded", "failed", seconds=PATIENCE_SECONDS)


def until_stage(deployment: Deployment, job_id: str, stage: str) -> None:
    wait_until(lambda: deployment.job(job_id)["stage"] == stage, PATIENCE_SECONDS, f"{job_id} to {stage}")


# Phases: each leaves a job at the point where the storage is to go away.


def before_the_fetch(deployment: Deployment, songs: Songs) -> str:
    deployment.queue.pause("slow")
    job_id = deployment.submit(songs.short, **SLOW)
    # The cable is cut before the job is let go.
    threading.Timer(0.5, lambda: deployment.queue.resume("slow")).start()
    return job_id


def in_the_fetch(deployment: Deployment, songs: Songs) -> str:
    deployment.queue.pause("slow")
    job_id = deployment.submit(songs.long, **SLOW)
    deployment.storage_proxy.bytes_per_second = 350_000
    deployment.queue.resume("slow")
    until_stage(deployment, job_id, "fetch")
    time.sleep(1.5)
    assert deployment.job(job_id)["stage"] == "fetch"
    return job_id


def in_the_separation(deployment: Deployment, songs: Songs) -> str:
    job_id = deployment.submit(songs.short, **SLOW)
    deployment.until_separating(job_id)
    return job_id


def in_the_upload(deployment: Deployment, songs: Songs) -> str:
    job_id = deployment.submit(songs.long, format="wav", **SLOW)
    deployment.until_separating(job_id)
    deployment.storage_proxy.bytes_per_second = 150_000
    until_stage(deployment, job_id, "upload")
    return job_id


def before_the_commit(deployment: Deployment, songs: Songs) -> str:
    """All outputs are stored, and the document of the result is not."""
    tried = threading.Event()

    def refuses(request: bytes) -> bool:
        is_document = request.startswith(b"PUT ") and b"job.json" in request
        if is_document:
            tried.set()
        return is_document

    job_id = deployment.submit(songs.short, **SLOW)
    deployment.storage_proxy.refuses = refuses
    assert tried.wait(PATIENCE_SECONDS)
    return job_id


KEEP_THEIR_RESULT = (in_the_separation, in_the_upload, before_the_commit)


@pytest.mark.parametrize(
    ("phase", "mode"),
    [
        *((before_the_fetch, mode) for mode in ("refuse", "swallow")),
        *(pytest.param(before_the_fetch, mode, marks=pytest.mark.slow) for mode in ("slow_down", "forbid")),
        (in_the_fetch, "refuse"),
        *((in_the_separation, mode) for mode in ("refuse", "forbid")),
        *(pytest.param(in_the_separation, mode, marks=pytest.mark.slow) for mode in ("swallow", "slow_down")),
        (in_the_upload, "refuse"),
        (before_the_commit, "slow_down"),
    ],
)
def test_an_outage_costs_no_attempt(
    deployment: Deployment,
    songs: Songs,
    watcher: Watcher,
    phase: Callable[[Deployment, Songs], str],
    mode: str,
) -> None:
    job_id = phase(deployment, songs)
    cut(deployment, mode)
    end = time.monotonic() + OUTAGE_SECONDS
    wait_until(lambda: deployment.job(job_id)["waiting_for"] == "storage", PATIENCE_SECONDS, "the job to say so")
    while time.monotonic() < end:
        job = deployment.job(job_id)
        assert job["state"] in {"queued", "running"}, job
        time.sleep(0.5)
    assert deployment.job(job_id)["waiting_because"]
    mend(deployment)
    assert_uncharged(deployment, until_ended(deployment, job_id))
    if phase in KEEP_THEIR_RESULT:
        assert runs(deployment, job_id) == 1, "nothing was separated again"
    check(deployment, watcher)


def test_jobs_wait_in_their_order_and_everybody_is_told_why(deployment: Deployment, song: Path) -> None:
    deployment.queue.pause("slow")
    bulk = [deployment.submit(song, priority="bulk", **SLOW) for _ in range(3)]
    interactive = [deployment.submit(song, **SLOW) for _ in range(3)]
    cut(deployment, "refuse")
    deployment.queue.resume("slow")
    told = lambda: deployment.client.get("/readyz").json()["faults"].get("workers", "")
    wait_until(lambda: "storage" in told(), 120, "readyz to say that the workers wait for the storage")
    (worker,) = deployment.registry.live_workers()
    assert worker.fault
    (engine,) = [e for e in deployment.client.get("/v1/engines").json()["engines"] if e["name"] == "slow"]
    assert engine["waiting_for"] == "storage"
    begun = len([line for line in deployment.lines if "attempt begins" in line])
    time.sleep(OUTAGE_SECONDS)
    jobs = [deployment.job(i) for i in (*bulk, *interactive)]
    assert {(j["state"], j["attempt"], j["waiting_for"]) for j in jobs} == {("queued", 0, "storage")}
    assert len([line for line in deployment.lines if "attempt begins" in line]) == begun, "nothing is claimed meanwhile"
    mend(deployment)
    ended = {i: until_ended(deployment, i) for i in (*bulk, *interactive)}
    for job in ended.values():
        assert_uncharged(deployment, job)
    moments = {i: job["times"]["finished_at"] for i, job in ended.items()}
    assert max(moments[i] for i in interactive) < min(moments[i] for i in bulk)
    assert told() == ""
    check(deployment)


@pytest.fixture
def many_songs(tmp_path: Path) -> list[Path]:
    """Songs that differ, so that each job has an object of its own."""
    return [make_song(tmp_path / f"{n}.wav", 3.0 + n / 10) for n in range(4)]


def test_one_object_that_cannot_be_read_holds_up_no_other_job(deployment: Deployment, many_songs: list[Path]) -> None:
    deployment.queue.pause("slow")
    poisoned = deployment.submit(many_songs[0], **SLOW)
    key = deployment.store.read_job(poisoned).request.source.key.encode()
    deployment.storage_proxy.refuses = lambda request: request.startswith(b"GET ") and key in request
    others = [deployment.submit(song, **SLOW) for song in many_songs[1:]]
    begun = time.monotonic()
    deployment.queue.resume("slow")
    for job_id in others:
        assert_uncharged(deployment, until_ended(deployment, job_id))
    wait_until(lambda: deployment.job(poisoned)["waiting_for"] == "storage", PATIENCE_SECONDS, "the job to say so")
    time.sleep(OUTAGE_SECONDS)
    job = deployment.job(poisoned)
    assert job["state"] in {"queued", "running"}
    assert job["attempt_errors"] == []
    # Pauses of 0.3 s and twice as much each time, with jitter: at least half of that.
    most = math.log2((time.monotonic() - begun) / 0.15 + 1) + 1
    assert runs(deployment, poisoned) <= most, "each pause is longer"
    mend(deployment)
    assert_uncharged(deployment, until_ended(deployment, poisoned))
    check(deployment)


def test_a_storage_that_reads_and_does_not_write_makes_no_hot_loop(
    deployment: Deployment, many_songs: list[Path]
) -> None:
    deployment.queue.pause("slow")
    jobs = [deployment.submit(song, **SLOW) for song in many_songs]
    deployment.storage_proxy.refuses = lambda request: request.startswith((b"PUT ", b"POST "))
    deployment.queue.resume("slow")
    time.sleep(OUTAGE_SECONDS + 4)
    assert {deployment.job(i)["state"] for i in jobs} <= {"queued", "running"}
    mend(deployment)
    for job_id in jobs:
        assert_uncharged(deployment, until_ended(deployment, job_id))
        assert runs(deployment, job_id) == 1, "what was separated was kept"
    check(deployment)


def test_a_storage_that_fails_now_and_then_delays_only(deployment: Deployment, many_songs: list[Path]) -> None:
    jobs = [deployment.submit(song, **SLOW) for song in many_songs]
    # boto3 tries three times: one call in eight fails.
    deployment.storage_proxy.refuses = lambda _: random.random() < 0.5
    for job_id in jobs:
        assert_uncharged(deployment, until_ended(deployment, job_id))
    mend(deployment)
    check(deployment)


def test_a_worker_that_stops_hands_back_what_waits_for_the_storage(deployment: Deployment, songs: Songs) -> None:
    job_id = in_the_separation(deployment, songs)
    cut(deployment, "refuse")
    wait_until(lambda: deployment.job(job_id)["waiting_for"] == "storage", PATIENCE_SECONDS, "the result to wait")
    worker = deployment.workers[0]
    os_kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: worker.exit_code is not None, 10, "the worker to be gone")
    job = deployment.job(job_id)
    assert (job["state"], job["attempt"], job["attempt_errors"]) == ("queued", 0, [])
    mend(deployment)
    deployment.start_worker()
    assert_uncharged(deployment, until_ended(deployment, job_id))
    check(deployment)
