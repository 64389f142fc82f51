"""Redis is away for longer than a lease, in every phase of a job: no attempt is charged, and none is a lost worker."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.outages.test_storage_outages import (
    SLOW,
    assert_uncharged,
    before_the_commit,
    in_the_fetch,
    in_the_separation,
    in_the_upload,
    mend,
    runs,
    until_ended,
)
from tests.fault.support.deployment import Deployment, os_kill, wait_until
from tests.fault.support.invariants import Watcher, check
from tests.fixtures.sounds.songs import Songs

OUTAGE_SECONDS = 10.0
"""More than three leases in these settings."""


def in_line(deployment: Deployment, songs: Songs) -> str:
    deployment.submit(songs.short, **SLOW)
    return deployment.submit(songs.short, **SLOW)


def be_away(deployment: Deployment, mode: str) -> None:
    if mode == "killed":
        deployment.valkey.kill()
        time.sleep(OUTAGE_SECONDS)
        deployment.valkey.start()
        return
    deployment.redis_proxy.mode = mode
    deployment.redis_proxy.reset_all()
    time.sleep(OUTAGE_SECONDS)
    deployment.redis_proxy.mode = "pass"


@pytest.mark.parametrize(
    ("phase", "mode"),
    [
        pytest.param(in_line, "refuse", marks=pytest.mark.slow),
        (in_line, "killed"),
        (in_the_fetch, "refuse"),
        (in_the_separation, "swallow"),
        (in_the_separation, "killed"),
        pytest.param(in_the_upload, "refuse", marks=pytest.mark.slow),
        (before_the_commit, "killed"),
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
    if phase is before_the_commit:
        mend(deployment)
    be_away(deployment, mode)
    mend(deployment)
    for accepted in deployment.accepted:
        assert_uncharged(deployment, until_ended(deployment, accepted))
    assert runs(deployment, job_id) == 1, "nothing was separated again"
    check(deployment, watcher)


def test_a_claim_whose_answer_got_lost_is_nobodys_loss(deploy: Callable[..., Deployment], song: Path) -> None:
    """The script runs, and the connection is gone when its answer comes.

    The lease is long: on a busy machine, a worker that nobody lets reach Redis would lose a short one by right.
    """
    deployment = deploy(LEASE_SECONDS="15", WORKER_ALIVE_SECONDS="20")
    for _ in range(4):
        job_id = deployment.submit(song, **SLOW)
        for _ in range(30):
            deployment.redis_proxy.reset_all()
            time.sleep(0.03)
        assert_uncharged(deployment, until_ended(deployment, job_id))
        assert runs(deployment, job_id) == 1
    check(deployment)


@pytest.mark.parametrize("restarts", [True, False], ids=["killed", "out of reach"])
def test_a_worker_that_stops_without_redis_charges_nothing_and_says_what_it_could_not_write(
    deployment: Deployment, songs: Songs, restarts: bool
) -> None:
    """All containers are told to stop at once and Redis is the first to be gone; or nobody else notices the outage."""
    job_id = in_the_separation(deployment, songs)
    worker = deployment.workers[0]
    if restarts:
        deployment.valkey.stop()
    else:
        deployment.redis_proxy.mode = "refuse"
        deployment.redis_proxy.reset_all()
    os_kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: worker.exit_code is not None, 20, "the worker to be gone")
    ends = [line for line in deployment.lines if "attempt ended" in line]
    assert not any("handed back" in line for line in ends), ends
    assert any("not written" in line for line in ends), ends
    time.sleep(4)  # past the lease
    if restarts:
        deployment.valkey.start()
    deployment.redis_proxy.mode = "pass"
    deployment.start_worker(wait=False)
    assert_uncharged(deployment, until_ended(deployment, job_id))
    check(deployment)
