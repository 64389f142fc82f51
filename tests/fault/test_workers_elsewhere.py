"""Workers on other machines: each with folders, settings and cables of its own, and nothing shared but Redis and S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.processes import RunningService
from deploy.local.servers.seaweedfs import storage_url
from shared.jobs.model import JobState
from tests.fault.support.deployment import Deployment, wait_until
from tests.fault.support.invariants import check
from tests.fault.support.proxy import Proxy

SLOW = {"engine": "slow", "parameters": '{"seconds": 5}'}


@dataclass
class Machine:
    """One worker, its folder, and its two cables."""

    worker: RunningService
    folder: Path
    redis: Proxy
    storage: Proxy

    def cut_off(self, *, storage: bool) -> None:
        """Let nothing more through, as when a cable is pulled: nobody is told."""
        self.redis.mode = "swallow"
        if storage:
            self.storage.mode = "swallow"

    def come_back(self) -> None:
        """Put the cables back; what was under way on them is lost."""
        for cable in (self.redis, self.storage):
            cable.reset_all()
            cable.mode = "pass"

    def job_folders(self) -> list[Path]:
        """Return the folders of jobs that lie there."""
        return [f for f in (self.folder / "scratch").glob("*/jobs/*") if f.is_dir()]


@pytest.fixture
def machine_in(tmp_path: Path) -> Iterator[Callable[[Deployment], Machine]]:
    """A function that adds a machine to a deployment."""
    with ExitStack() as cables:
        machines: list[Machine] = []

        def add(deployment: Deployment) -> Machine:
            folder = tmp_path / f"machine{len(machines)}"
            folder.mkdir()
            at_redis, _, port = deployment.valkey.url.removesuffix("/0").rpartition(":")
            redis = cables.enter_context(Proxy(int(port)))
            storage = cables.enter_context(Proxy(deployment.seaweedfs.port))
            worker = deployment.start_worker(
                folder=folder,
                HOME=str(folder),
                SCRATCH_FOLDER=str(folder / "scratch"),
                MODEL_FOLDER=str(folder / "models"),
                REDIS_URL=f"{at_redis}:{redis.port}/0",
                S3_ENDPOINT_URL=storage_url(port=storage.port),
                API_PORT="1",
            )
            machines.append(Machine(worker, folder, redis, storage))
            return machines[-1]

        yield add


@pytest.mark.parametrize("storage_too", [True, False], ids=["redis_and_storage", "redis_alone"])
def test_a_worker_that_is_cut_off_loses_its_job_to_another_and_cannot_commit_late(
    deploy: Callable[..., Deployment], machine_in: Callable[[Deployment], Machine], song: Path, storage_too: bool
) -> None:
    deployment = deploy(workers=0)
    machines = [machine_in(deployment) for _ in range(2)]
    job_id = deployment.submit(song, **SLOW)
    deployment.until_separating(job_id)
    cut_off = next(m for m in machines if m.job_folders())
    cut_off.cut_off(storage=storage_too)
    job = deployment.until(job_id, "succeeded")
    assert job["attempt"] == 2
    assert [e["code"] for e in job["attempt_errors"]] == ["worker_lost"]
    # Long done with its own run, and with nobody to tell it to.
    waits = "storage unavailable: a result is kept" if storage_too else "attempt's end not recorded yet"
    wait_until(lambda: any(waits in line for line in deployment.lines), 120, "the late commit")
    assert cut_off.job_folders()
    cut_off.come_back()
    wait_until(lambda: any("claim lost" in line for line in deployment.lines), 120, "the late commit to be refused")
    wait_until(lambda: not cut_off.job_folders(), 120, "its scratch to be cleaned")
    assert deployment.job(job_id) == job, "nothing of it is to be seen"
    follower = deployment.submit(song, **SLOW)
    others = next(m for m in machines if m is not cut_off)
    others.cut_off(storage=True)
    assert deployment.until(follower, "succeeded")["state"] == "succeeded", "it works again"
    others.come_back()
    check(deployment)


def test_a_worker_needs_neither_the_api_nor_a_folder_of_anybody_elses(
    deploy: Callable[..., Deployment], machine_in: Callable[[Deployment], Machine], song: Path
) -> None:
    deployment = deploy(workers=0)
    machine = machine_in(deployment)
    job_id = deployment.submit(song, **SLOW)
    assert deployment.api
    deployment.api.kill()
    wait_until(lambda: deployment.store.read_job(job_id).state == JobState.SUCCEEDED, 120, "the job to be done")
    assert not deployment.scratch_folder.exists(), "all its files lie in its own folder"
    wait_until(lambda: not machine.job_folders(), 120, "its scratch to be cleaned")
    deployment.start_api()
    check(deployment)
