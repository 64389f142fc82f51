"""What must hold after every fault, whatever it was."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
import psutil

from shared.batches.item_status import BatchItems
from shared.batches.store import BatchStore
from shared.maintenance.garbage_collector import Collector
from tests.fault.support.deployment import TERMINAL, Deployment, wait_until


class Watcher:
    """A client that polls all accepted jobs: progress never falls, an end is final, the API answers in time."""

    def __init__(self, deployment: Deployment) -> None:
        self.faults: list[str] = []
        self.slowest_seconds = 0.0
        self._deployment = deployment
        self._progress: dict[str, float] = {}
        self._ends: dict[str, str] = {}
        self._stop = Event()
        self._thread = Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        base = f"http://127.0.0.1:{self._deployment.api_port}"
        with httpx2.Client(base_url=base, timeout=10) as client:
            while not self._stop.wait(0.1):
                for job_id in list(self._deployment.accepted):
                    self._look(client, job_id)

    def _look(self, client: httpx2.Client, job_id: str) -> None:
        api, begun = self._deployment.api, time.monotonic()
        try:
            answer = client.get(f"/v1/jobs/{job_id}")
        except httpx2.ConnectError:
            return
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            # A process that ends closes its connections.
            deadline = time.monotonic() + 20
            while api and api.exit_code is None and time.monotonic() < deadline:
                time.sleep(0.1)
            if api and api.exit_code is None:
                self.faults.append(f"the API broke a connection off: {error!r}")
            return
        except httpx2.HTTPError as error:
            self.faults.append(f"the API hung: {error!r}")
            return
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - begun)
        if answer.status_code == 503:
            if "Retry-After" not in answer.headers:
                self.faults.append("503 without Retry-After")
            return
        if job_id not in self._deployment.accepted:
            return  # It was deleted.
        job = answer.json()
        if job["progress"] < self._progress.get(job_id, 0.0):
            self.faults.append(f"progress of {job_id} fell to {job['progress']}")
        self._progress[job_id] = job["progress"]
        end = self._ends.get(job_id)
        if end and job["state"] != end:
            self.faults.append(f"{job_id} left {end} for {job['state']}")
        if job["state"] in TERMINAL:
            self._ends[job_id] = job["state"]


def check(deployment: Deployment, watcher: Watcher | None = None) -> list[dict[str, Any]]:
    """Assert (a) to (f) of the fault matrix over all accepted jobs; return the jobs."""
    jobs = [deployment.job(i) for i in deployment.accepted]
    for job in jobs:
        assert job["state"] in TERMINAL, (job["id"], job["state"])
        if job["state"] == "succeeded":
            _check_outputs(deployment, job)
    for batch_id in deployment.batches:
        _check_batch(deployment, batch_id)
    collection = Collector(deployment.settings, deployment.storage)
    time.sleep(1.1)  # past the age at which an upload counts as abandoned
    assert collection.collect(now=True) is not None
    _check_no_garbage(deployment)
    if watcher:
        assert watcher.faults == []
    if any(w.exit_code is None for w in deployment.workers):
        wait_until(lambda: not _job_folders(deployment), 120, "scratch folders to be empty")
    _check_no_strangers(deployment)
    return jobs


def _check_outputs(deployment: Deployment, job: dict[str, Any]) -> None:
    # A job that mixes outputs of another one has no stems.
    is_mix = job["source"].get("job_id") and not job["source"].get("output")
    stems = {s["name"] for s in job["stems"]}
    assert job["mixes"] if is_mix else {"vocals", "accompaniment"} <= stems
    for stem in (*job["stems"], *job["mixes"]):
        content = deployment.client.get(stem["url"]).raise_for_status().content
        assert len(content) == stem["size_bytes"]
        assert hashlib.sha256(content).hexdigest() == stem["sha256"]


def _check_batch(deployment: Deployment, batch_id: str) -> None:
    """Assert that a batch has ended, that its counts are those of its items, and its stems are there."""
    batch, items = deployment.batch(batch_id), deployment.items(batch_id)
    assert batch["state"] in {"ended", "canceled"}, batch
    assert len(items) == batch["total"]
    counted = Counter(item["state"] for item in items)
    assert {state: n for state, n in batch["counts"].items() if n} == dict(counted)
    assert not {"waiting", "queued", "running"} & set(counted)
    for item in items:
        if item["state"] == "succeeded":
            _check_outputs(deployment, deployment.job(item["job_id"]))
    wait_until(lambda: not BatchStore(deployment.settings).feeding.live_ids(), 120, "results to be in storage")


def _listed_by_batches(deployment: Deployment) -> set[str]:
    listed = {key for key, _, _ in deployment.storage.list_keys("batches/")}
    reader = BatchItems(deployment.store, BatchStore(deployment.settings), deployment.storage)
    for batch_id in deployment.batches:
        for item in deployment.items(batch_id):
            if item["job_id"]:
                job = reader.read_job(item["job_id"])
                listed |= {o.key for o in job.outputs} | {f"jobs/{job.id}/{job.fence}/job.json"}
                if job.request.source.upload_id:
                    listed.add(job.request.source.key)
    return listed


def _check_no_garbage(deployment: Deployment) -> None:
    listed = _listed_by_batches(deployment)
    for job in deployment.store.read_jobs(deployment.accepted):
        listed |= {o.key for o in job.outputs} | {job.request.source.key, f"jobs/{job.id}/{job.fence}/job.json"}
    found = {key for key, _, _ in deployment.storage.list_keys("")}
    strays = {key for key in found - listed if not key.startswith("catalog/")}
    assert strays <= {"instance"}, f"objects that no job lists: {sorted(strays)}"
    uploads = deployment.seaweedfs.client().list_multipart_uploads(Bucket=deployment.storage.bucket)
    assert uploads.get("Uploads", []) == []


def _job_folders(deployment: Deployment) -> list[Path]:
    return [p for p in deployment.scratch_folder.glob("*/jobs/*") if p.is_dir()]


def _check_no_strangers(deployment: Deployment) -> None:
    """Assert that nothing runs which a dead worker started."""
    live = {w.pid for w in deployment.workers if w.exit_code is None}
    ours = str(deployment.scratch_folder)
    for process in psutil.process_iter(["environ", "status"]):
        environment = process.info["environ"] or {}
        if environment.get("TMPDIR", "").startswith(ours) and process.info["status"] != psutil.STATUS_ZOMBIE:
            assert live & {p.pid for p in process.parents()}, process
