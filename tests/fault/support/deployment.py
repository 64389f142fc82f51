"""A whole deployment of real processes that a test may hurt: Valkey, SeaweedFS, the API, any number of workers.

Owns starting, killing and stopping by process id. API and workers reach Valkey and SeaweedFS through proxies, so that
the cables can be cut; the test itself has connections of its own. What must hold afterwards: invariants.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx2
import psutil

from deploy.local.processes import RunningService, Service
from deploy.local.servers.seaweedfs import storage_url
from shared.jobs.store import JobStore
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from tests.fault.support.proxy import Proxy
from tests.fixtures.loops import prepared
from tests.fixtures.ports import find_free
from tests.fixtures.servers import SONGS, make_storage, make_valkey

TERMINAL = {"succeeded", "failed", "canceled"}

QUICK = {
    "LEASE_SECONDS": "3",
    "HEARTBEAT_SECONDS": "0.5",
    "RESCUE_SECONDS": "1",
    "UNCLAIMED_SECONDS": "2",
    "WORKER_ALIVE_SECONDS": "5",
    "RETRY_BASE_SECONDS": "0.3",
    "S3_TIMEOUT_SECONDS": "3",
    "COLLECT_SECONDS": "3600",
    "UPLOAD_ABANDONED_SECONDS": "1",
    "EXTRA_ENGINES": "tests.fault.support.slow_engine",
    "LOG_FORMAT": "text",
    "WORKER_SLOTS": "1",
    "THREADS_PER_JOB": "1",
}
"""Life-cycle settings of the tests: everything that waits, waits seconds."""


ANEW = {"no_cache": "true"}
"""These tests submit the same songs again and again, to see them separated."""


POLL_SECONDS = 0.2
"""The time between two polls of a job. Each costs the machine some milliseconds, beside other tests that compute."""


def wait_until(question: Callable[[], Any], seconds: float = 60.0, what: str = "an answer") -> Any:
    """Return the first true answer; fail the test when none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


class Deployment:
    """All parts, each a process of its own."""

    def __init__(self, folder: Path, *, is_cabled: bool = True, **overrides: str) -> None:
        self.folder = folder
        self.is_cabled = is_cabled
        self.scratch_folder = folder / "scratch"
        self.lines: list[str] = []
        self.workers: list[RunningService] = []
        self.accepted: list[str] = []
        self.batches: list[str] = []
        self.api: RunningService | None = None
        self.valkey, self.seaweedfs = make_valkey(folder / "valkey"), make_storage(folder / "storage")
        self.valkey.start()
        self.seaweedfs.start()
        self.redis_proxy = Proxy(int(self.valkey.url.rsplit(":", 1)[1].split("/")[0]))
        self.storage_proxy = Proxy(self.seaweedfs.port)
        self.overrides = {**QUICK, **overrides}
        self.api_port = find_free()
        self.settings = self._direct_settings()
        self.store, self.queue = JobStore(self.settings), JobQueue(self.settings)
        self.registry, self.statistics = WorkerRegistry(self.settings), QueueStatistics(self.settings)
        self.storage = ObjectStorage(self.settings)
        self.songs = ObjectStorage(self.settings.model_copy(update={"s3_bucket": SONGS}))
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=30)

    # Parts

    def start_api(self) -> None:
        """Start the API under gunicorn and wait until it is alive."""
        command = ("gunicorn", "-c", "python:api.server.gunicorn_conf", "api.wsgi:app")
        self.api = self._start("api", command, self._alive, {})

    def start_worker(
        self,
        *,
        wait: bool = True,
        command_prefix: tuple[str, ...] = (),
        folder: Path | None = None,
        **overrides: str,
    ) -> RunningService:
        """Start a worker, in a folder of its own if one is given; waiting means: until its slots count."""
        command = (
            *["celery", "-A", "worker.celery_app", "worker", "--pool", "threads"],
            "--without-gossip",
            "--without-mingle",
        )
        before = {w.id for w in self.registry.live_workers()} if wait else set()
        known: Callable[[], bool] = lambda: bool({w.id for w in self.registry.live_workers()} - before)
        name = f"worker{len(self.workers)}"
        answers = known if wait else lambda: True
        worker = self._start(name, command, answers, overrides, command_prefix=command_prefix, folder=folder)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        """End every process that was started here."""
        self.client.close()
        for part in [*self.workers, self.api]:
            if part is not None:
                part.kill()
        self.redis_proxy.close()
        self.storage_proxy.close()
        for server in (self.seaweedfs, self.valkey):
            server.kill()

    # Jobs

    def submit(self, song: Path, **fields: str) -> str:
        """Submit a song over HTTP; return the job's id."""
        with song.open("rb") as file:
            answer = self.client.post("/v1/jobs", files={"file": (song.name, file)}, data={**ANEW, **fields})
        assert answer.status_code == 202, answer.text
        job_id = cast(str, answer.json()["id"])
        self.accepted.append(job_id)
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job as a client sees it; a busy machine may need a second call."""
        answer = self.client.get(f"/v1/jobs/{job_id}")
        give_up_at = time.monotonic() + 20
        while answer.status_code == 503 and time.monotonic() < give_up_at:
            time.sleep(0.5)
            answer = self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return cast("dict[str, Any]", answer.json())

    def until(self, job_id: str, *states: str, seconds: float = 240.0) -> dict[str, Any]:
        """Return the job once it is in one of the states. It may show no change for so many seconds.

        Separation takes only the processor time that others leave. So on a busy machine, a song of seconds may take
        minutes, most of them before its child has started.
        """
        shown, deadline = None, 0.0
        while True:
            job = self.job(job_id)
            if job["state"] in states:
                return job
            now_shown = [job[name] for name in ("state", "stage", "progress", "attempt")]
            if now_shown != shown:
                shown, deadline = now_shown, time.monotonic() + seconds
            exits = {worker.service.name: worker.exit_code for worker in self.workers}
            assert time.monotonic() < deadline, f"{job_id} is {shown}, and not {states}; workers ended: {exits}"
            time.sleep(POLL_SECONDS)

    def until_separating(self, job_id: str) -> None:
        """Return once the child works on the job."""
        wait_until(lambda: self.job(job_id)["stage"] in {"separate", "encode"}, 240, f"{job_id} to be separated")

    def child_pids(self, worker: RunningService) -> list[int]:
        """Return the ids of a worker's children and of all that they started."""
        try:
            return [p.pid for p in psutil.Process(worker.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    # Batches

    def submit_batch(self, **body: Any) -> str:
        """Submit a batch over HTTP; return its id."""
        answer = self.client.post("/v1/batches", json=body)
        assert answer.status_code == 202, answer.text
        batch_id = cast(str, answer.json()["id"])
        self.batches.append(batch_id)
        return batch_id

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Return the batch as a client sees it."""
        answer = self.client.get(f"/v1/batches/{batch_id}")
        assert answer.status_code == 200, answer.text
        return cast("dict[str, Any]", answer.json())

    def until_batch(self, batch_id: str, *states: str, seconds: float = 240.0) -> dict[str, Any]:
        """Return the batch once it is in one of the states."""
        reached = wait_until(
            lambda: (batch := self.batch(batch_id))["state"] in states and batch, seconds, f"{batch_id} to be {states}"
        )
        return cast("dict[str, Any]", reached)

    def items(self, batch_id: str) -> list[dict[str, Any]]:
        """Return all items of a batch as its report tells them; a busy machine may break off the first ones."""
        for tries_left in (4, 3, 2, 1, 0):
            try:
                answer = self.client.get(f"/v1/batches/{batch_id}/report.jsonl")
            except httpx2.RemoteProtocolError:
                if not tries_left:
                    raise
                continue
            if answer.status_code == 200:
                break
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    # Inner

    def _alive(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx2.HTTPError:
            return False

    def _direct_settings(self) -> Settings:
        values: dict[str, Any] = {name.lower(): value for name, value in self.overrides.items()}
        known = {name: value for name, value in values.items() if name in Settings.model_fields}
        return Settings(**{**known, **self.seaweedfs.settings(), "redis_url": self.valkey.url})

    def _environment(self, overrides: dict[str, str]) -> dict[str, str]:
        storage, redis_url = {k.upper(): str(v) for k, v in self.seaweedfs.settings().items()}, self.valkey.url
        if self.is_cabled:
            storage["S3_ENDPOINT_URL"] = storage_url(port=self.storage_proxy.port)
            own_port = self.valkey.url.rsplit(":", 1)[1].split("/")[0]
            redis_url = redis_url.replace(f":{own_port}/", f":{self.redis_proxy.port}/")
        inherited = {n: os.environ[n] for n in ("PATH", "HOME", "OPENBLAS_CORETYPE") if n in os.environ}
        return {
            **inherited,
            "PYTHONPATH": str(Path(__file__).parents[3]),  # where the stand-in engine is found
            **storage,
            "REDIS_URL": redis_url,
            "API_PORT": str(self.api_port),
            "API_PROCESSES": "1",
            "SCRATCH_FOLDER": str(self.scratch_folder),
            **prepared().environment(),
            **self.overrides,
            **overrides,
        }

    def _start(
        self,
        name: str,
        command: tuple[str, ...],
        answers: Callable[[], bool],
        overrides: dict[str, str],
        *,
        command_prefix: tuple[str, ...] = (),
        folder: Path | None = None,
    ) -> RunningService:
        service = Service(
            name=name,
            command=(*command_prefix, sys.executable, "-m", *command),
            folder=folder or self.folder,
            environment=self._environment(overrides),
            answers=answers,
            start_seconds=60,
            stop_seconds=15,
        )
        running = RunningService(service, lambda line: self.lines.append(f"{name}: {line}"))
        running.wait_until_it_answers()
        return running


def stop_at_once(deployment: Deployment) -> None:
    """Send SIGTERM to every part at the same moment, as a reboot does, and wait until all have ended."""
    servers = [deployment.valkey.running, deployment.seaweedfs.running, deployment.api]
    parts = [part for part in (*servers, *deployment.workers) if part and part.exit_code is None]
    for part in parts:
        os_kill(part.pid, signal.SIGTERM)
    left = lambda: [part.service.name for part in parts if part.exit_code is None]
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not left(), 60)
    assert not left(), f"asked to stop, and running after a minute: {left()}"


def os_kill(pid: int, number: int) -> None:
    """Send a signal; a process that is gone already does not matter."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
