"""The same song several times at once, in batches and across them: separated once, whatever its copies are called."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.support.deployment import Deployment, os_kill, wait_until
from tests.fault.support.invariants import check
from tests.fixtures.servers import SONGS

STAND_IN = {"engine": "slow", "parameters": {"seconds": 2}}


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    """A deployment that can do three jobs at once, with a catalog that holds one song under six names."""
    return deploy(S3_SOURCE_BUCKETS=SONGS, WORKER_SLOTS="3")


def items(deployment: Deployment, song: Path) -> list[dict[str, object]]:
    for n in range(6):
        deployment.songs.put_bytes(song.read_bytes(), f"catalog/{n}.flac", "audio/flac")
    return [{"source": {"s3": {"bucket": SONGS, "key": f"catalog/{n}.flac"}}} for n in range(6)]


def separations(deployment: Deployment) -> int:
    return sum("outcome=succeeded" in line for line in deployment.lines)


def test_six_of_the_same_are_separated_once(deployment: Deployment, song: Path) -> None:
    wanted = items(deployment, song)
    first = deployment.submit_batch(items=wanted, defaults=STAND_IN)
    second = deployment.submit_batch(items=wanted, defaults=STAND_IN)
    for batch_id in (first, second):
        assert deployment.until_batch(batch_id, "ended")["counts"]["succeeded"] == 6
    told = [*deployment.items(first), *deployment.items(second)]
    assert [i["cached"] for i in told].count(False) == 1
    assert {i["attempts"] for i in told} == {1}
    assert len({i["input_sha256"] for i in told}) == 1
    assert separations(deployment) == 1
    check(deployment)


def test_a_twin_whose_worker_dies_is_done_by_another_and_nobody_waits_for_ever(
    deployment: Deployment, song: Path
) -> None:
    batch_id = deployment.submit_batch(items=items(deployment, song), defaults=STAND_IN)
    victim = deployment.workers[0]
    wait_until(lambda: any("waits for a job" in line for line in deployment.lines), 120, "twins to wait")
    os_kill(victim.pid, signal.SIGKILL)
    deployment.start_worker()
    assert deployment.until_batch(batch_id, "ended")["counts"]["succeeded"] == 6
    assert separations(deployment) == 1
    check(deployment)


def test_a_twin_that_is_canceled_leaves_the_work_to_the_others(deployment: Deployment, song: Path) -> None:
    batch_id = deployment.submit_batch(items=items(deployment, song), defaults=STAND_IN)
    wait_until(lambda: any("waits for a job" in line for line in deployment.lines), 120, "twins to wait")
    running = next(i for i in deployment.items(batch_id) if i["state"] == "running")
    deployment.client.post(f"/v1/jobs/{running['job_id']}/cancel").raise_for_status()
    counts = deployment.until_batch(batch_id, "ended")["counts"]
    assert (counts["succeeded"], counts["canceled"]) == (5, 1)
    wait_until(lambda: any("claim lost" in line for line in deployment.lines), 120, "the canceled attempt to end")
    check(deployment)
