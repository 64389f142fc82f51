"""Storage drags, refuses and cuts, and scratch disks fill up; of outages that last test_storage_outages.py tells."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.conftest import make_song
from tests.fault.support.deployment import Deployment, wait_until
from tests.fault.support.invariants import Watcher, check

SLOW = {"engine": "slow", "parameters": '{"seconds": 2}', "no_cache": "true"}


@pytest.fixture(scope="module")
def long_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song whose stems take several parts to upload."""
    return make_song(tmp_path_factory.mktemp("songs") / "long.wav", 150.0)


@pytest.mark.parametrize("mode", ["refuse", "slow_down"])
def test_while_the_storage_is_away_nothing_more_is_accepted(
    deployment: Deployment, song: Path, watcher: Watcher, mode: str
) -> None:
    job_id = deployment.submit(song, **SLOW)
    deployment.until_separating(job_id)
    deployment.storage_proxy.mode = mode
    deployment.storage_proxy.reset_all()
    assert deployment.client.get("/readyz").status_code == 503
    begun = time.monotonic()
    with song.open("rb") as file:
        answer = deployment.client.post("/v1/jobs", files={"file": ("song.flac", file)}, data=SLOW)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), answer.text
    assert time.monotonic() - begun < 2.5
    deployment.storage_proxy.mode = "pass"
    assert deployment.until(job_id, "succeeded", "failed")["attempt_errors"] == []
    check(deployment, watcher)


def test_a_connection_cut_in_mid_body_leaves_no_upload_dangling(
    deployment: Deployment, long_song: Path, watcher: Watcher
) -> None:
    job_id = deployment.submit(long_song, format="wav", **SLOW)
    deployment.until_separating(job_id)
    deployment.storage_proxy.reset_after_bytes = 3_000_000
    wait_until(lambda: deployment.storage_proxy.resets > 1, 120, "connections to be cut")
    deployment.storage_proxy.reset_after_bytes = None
    assert deployment.until(job_id, "succeeded", "failed")["state"] == "succeeded"
    check(deployment, watcher)


def test_a_slow_storage_costs_no_lease(deployment: Deployment, long_song: Path, watcher: Watcher) -> None:
    job_id = deployment.submit(long_song, **SLOW)
    deployment.until_separating(job_id)
    deployment.storage_proxy.bytes_per_second = 3_000_000
    assert deployment.until(job_id, "succeeded")["attempt"] == 1
    deployment.storage_proxy.bytes_per_second = None
    check(deployment, watcher)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", folder], check=False).returncode == 0
    if not mounted:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_scratch_disk_is_a_passing_fault_and_is_cleaned(
    deploy: Callable[..., Deployment], song: Path, long_song: Path, small_disk: Path
) -> None:
    deployment = deploy(SCRATCH_FOLDER=str(small_disk))
    job_id = deployment.submit(long_song, **SLOW)
    job = deployment.until(job_id, "failed")
    assert (job["error"]["code"], job["error"]["retryable"]) == ("scratch_full", True)
    assert job["attempt"] == 4, "it is tried again: others may have filled the disk"
    follower = deployment.submit(song, **SLOW)
    deployment.until(follower, "succeeded")
    wait_until(lambda: not [f for f in small_disk.glob("*/jobs/*") if f.is_dir()], 120, "the disk to be cleaned")
    check(deployment)


def test_a_song_too_large_for_its_share_of_the_disk_is_refused_for_good(
    deploy: Callable[..., Deployment], long_song: Path
) -> None:
    deployment = deploy(MAX_SCRATCH_BYTES=str(10_000_000))
    job = deployment.until(deployment.submit(long_song, **SLOW), "failed")
    assert (job["error"]["code"], job["attempt"]) == ("audio_too_long", 1)
    check(deployment)


def test_a_child_past_its_memory_ends_as_out_of_memory_and_others_go_on(
    deploy: Callable[..., Deployment], song: Path
) -> None:
    deployment = deploy(MAX_CHILD_BYTES=str(600_000_000))
    hungry = deployment.submit(song, engine="slow", parameters='{"seconds": 3, "grow_bytes": 2000000000}')
    modest = deployment.submit(song, **SLOW)
    job = deployment.until(hungry, "failed")
    assert (job["error"]["code"], job["attempt"]) == ("out_of_memory", 3)
    assert deployment.until(modest, "succeeded")["attempt"] == 1
    check(deployment)


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group whose processes get 700 MB together."""
    version_1 = Path("/sys/fs/cgroup/memory")
    group = (version_1 if version_1.is_dir() else version_1.parent) / f"stemqueue-test-{os.getpid()}"
    limit = "memory.limit_in_bytes" if version_1.is_dir() else "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text("700000000")
    except OSError:
        pytest.skip("only root may limit a group's memory, where the kernel has memory groups")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), 120, "the group to be empty")
    group.rmdir()


def test_a_child_that_the_kernel_kills_for_memory_ends_as_out_of_memory(
    memory_group: Path, deploy: Callable[..., Deployment], song: Path
) -> None:
    deployment = deploy(workers=0)
    into_the_group = ("/bin/sh", "-c", f'echo $$ > {memory_group}/cgroup.procs; exec "$@"', "sh")
    worker = deployment.start_worker(command_prefix=into_the_group)
    hungry = deployment.submit(song, engine="slow", parameters='{"seconds": 2, "grow_bytes": 2000000000}')
    job = deployment.until(hungry, "failed", seconds=240)
    assert (job["error"]["code"], job["attempt"]) == ("out_of_memory", 3)
    assert {e["code"] for e in job["attempt_errors"]} == {"out_of_memory"}
    assert worker.exit_code is None
    ends = [line for line in deployment.lines if "attempt ended" in line]
    assert all("warning" in line for line in ends), ends
    check(deployment)
