"""A batch of 100,000 items run to its end: what Redis holds meanwhile, and what reading all of it costs then.

A worker stands in that does no signal processing, so that what is measured is the batch's own; it feeds, claims,
settles and compacts through the same code as a real one. Every hundredth item fails.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from celery import Celery

from shared.batches.actions import BatchActions
from shared.batches.store import BatchStore
from shared.batches.stored_items import BatchObjects
from shared.jobs.uploads import UploadStore
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker
from tests.bench.batches.manifest import put_manifest, used_bytes
from tests.bench.batches.watch import Watch, api_cpu_seconds, api_peak_bytes, look
from tests.fault.support.deployment import Deployment
from tests.fixtures.api import ENGINE, StandIn
from tests.fixtures.beside import beside
from worker.batches.feeder import BatchFeeder
from worker.batches.results import BatchResults

SLOTS, THREADS = 50, 4

ONE_FAILS_OF = 100

SUFFERED = {"code": "audio_unreadable", "message": "The file is no audio that can be decoded.", "attempt": 1}


class NoMessages(Celery):  # type: ignore[misc] - Celery has no types
    """STAND-IN for the sender of messages: this worker asks which jobs are published, and takes no messages."""

    def send_task(self, *_: Any, **__: Any) -> None:
        """Send nothing."""


class StandInWorker:
    """Works a batch off, in threads of this process as a worker has them."""

    def __init__(self, deployment: Deployment) -> None:
        self.stand_in = StandIn(deployment.settings)
        self.stand_in.queue = JobQueue(deployment.settings, producer=NoMessages())
        self.version = "1"
        self.peak_bytes = 0
        self._deployment = deployment
        self.beat()
        self.feeder = _feeder_of(self.stand_in)

    def beat(self) -> None:
        """Tell that it lives, and look at Redis."""
        description = {**ENGINE, "version": self.version}
        self.stand_in.workers.heartbeat(Worker("bench", SLOTS, ("repetition",), (description,)))
        self.peak_bytes = max(self.peak_bytes, used_bytes(self._deployment))

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Tell so all the while."""

        def beat(over: threading.Event) -> None:
            while not over.wait(1.0):
                self.beat()

        self.beat()
        with beside(beat):
            yield

    def work_off(self, batch_id: str) -> float:
        """Return the seconds that it took."""
        begun = time.monotonic()
        over = threading.Event()
        feeding = threading.Thread(target=self._feed, args=(over,))
        feeding.start()
        try:
            with ThreadPoolExecutor(THREADS) as threads:
                while self.feeder.batches.read_batch(batch_id).state in {"reading", "running"}:
                    self.beat()
                    list(threads.map(self._do, self.stand_in.published_ids()))
        finally:
            over.set()
            feeding.join()
        while self.feeder.batches.feeding.live_ids():
            self.feeder.run_round()
        return time.monotonic() - begun

    def _feed(self, over: threading.Event) -> None:
        while not over.is_set():
            if not self.feeder.run_round():
                over.wait(0.02)

    def _do(self, job_id: str) -> None:
        claim, number = self.stand_in.claim(job_id), int(job_id[-8:], 16)
        if number % ONE_FAILS_OF == 0 and self.version == "1":
            self.stand_in.store.claims.fail(claim, SUFFERED, retry_in_seconds=None)
            return
        self.stand_in.store.claims.succeed(
            claim,
            outputs=[],
            probed={"duration_seconds": 215.25, "sha256": job_id + job_id, "channels": 2, "sample_rate_hz": 44_100},
            report={"engine_version": self.version, "seconds": {"total": 31.5}},
            cache_keys=[f"{number:032x}"],
        )


def measure_end(deployment: Deployment, items: int = 100_000) -> None:
    """Run a batch to its end, and read all of it."""
    worker = StandInWorker(deployment)
    small = deployment.submit_batch(manifest=put_manifest(deployment, 1), defaults={"engine": "repetition"})
    worker.work_off(small)
    manifest = put_manifest(deployment, items)
    before, idle = used_bytes(deployment), look(deployment, small)
    batch_id = deployment.submit_batch(manifest=manifest, defaults={"engine": "repetition"})
    watch = Watch(deployment, batch_id)
    seconds = worker.work_off(batch_id)
    busy, kept = watch.stop(), used_bytes(deployment) - before
    print(f"{items:,} items to their end by a stand-in: {seconds:.0f} s, {items / seconds:.0f} a second")
    print(
        f"redis: {before:,} bytes before, {worker.peak_bytes:,} at most: {worker.peak_bytes / 1e6:.1f} MB in all "
        f"(goal: 100); {kept:,} kept after the end, {kept / items:.1f} an item (goal: 300)"
    )
    print(f"reading the batch: {busy.against(idle)}")
    _read_all(deployment, batch_id, items)
    _do_again(deployment, worker, batch_id, items)


def _read_all(deployment: Deployment, batch_id: str, items: int) -> None:
    path = f"/v1/batches/{batch_id}"
    before = api_peak_bytes(deployment)
    for name in ("report.csv", "report.jsonl"):
        cpu = api_cpu_seconds(deployment)
        seconds, size_bytes, lines = _stream(deployment, f"{path}/{name}")
        cpu = api_cpu_seconds(deployment) - cpu
        assert lines == items + (name == "report.csv"), lines
        print(
            f"{name}: {lines:,} lines, {size_bytes / 1e6:.1f} MB in {seconds:.1f} s, {cpu:.1f} of the API's processor"
        )
    for query in ({"limit": 500}, {"limit": 500, "state": "failed"}):
        begun, cpu, found, pages = time.monotonic(), api_cpu_seconds(deployment), 0, 0
        following: Any = 0
        while following is not None:
            page = deployment.client.get(f"{path}/items", params={**query, "starting_after": following}).json()
            found, pages, following = found + len(page["items"]), pages + 1, page["next_starting_after"]
        seconds, cpu = time.monotonic() - begun, api_cpu_seconds(deployment) - cpu
        print(f"items {query}: {found:,} on {pages} pages in {seconds:.1f} s, {cpu:.1f} of the API's processor")
    after = api_peak_bytes(deployment)
    print(f"memory of the API: {before / 1e6:.0f} MB at most before all that, {after / 1e6:.0f} MB after it")


def _stream(deployment: Deployment, path: str) -> tuple[float, int, int]:
    begun, size_bytes, lines = time.monotonic(), 0, 0
    with deployment.client.stream("GET", path) as answer:
        for block in answer.iter_raw():
            size_bytes += len(block)
            lines += block.count(b"\n")
    return time.monotonic() - begun, size_bytes, lines


def _do_again(deployment: Deployment, worker: StandInWorker, batch_id: str, items: int) -> None:
    path = f"/v1/batches/{batch_id}"
    failed = items // ONE_FAILS_OF
    worker.version = "2"
    _post(deployment, f"{path}/retry-failed", failed)
    worker.work_off(batch_id)
    with worker.alive():
        _post(deployment, f"{path}/rerun", 0)
        begun = time.monotonic()
        while worker.feeder.batches.read_batch(batch_id).rerun:
            worker.feeder.run_round()
        assert worker.feeder.batches.read_batch(batch_id).counts["waiting"] > 0
        print(f"looked through for what another version made in {time.monotonic() - begun:.1f} s")
    _post(deployment, f"{path}/cancel", 0)


def _post(deployment: Deployment, path: str, waiting: int) -> None:
    redis_stall = _Stall(deployment.store.ping)
    begun = time.monotonic()
    counts = deployment.client.post(path).raise_for_status().json()["counts"]
    seconds = time.monotonic() - begun
    assert counts["waiting"] == waiting, counts
    told = path.rpartition("/")[2]
    print(
        f"{told}: {seconds:.2f} s, {waiting:,} wait then; Redis answered nobody for {redis_stall.stop():.2f} s at most"
    )


class _Stall:
    """Asks again and again, and tells the longest that it had to wait."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._over, self._longest = call, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> float:
        """Return the longest wait in seconds."""
        self._over.set()
        self._thread.join()
        return self._longest

    def _run(self) -> None:
        while not self._over.wait(0.005):
            begun = time.monotonic()
            self._call()
            self._longest = max(self._longest, time.monotonic() - begun)


def _feeder_of(stand_in: StandIn) -> BatchFeeder:
    batches, objects = BatchStore(stand_in.settings), BatchObjects(stand_in.storage)
    return BatchFeeder(
        name="bench",
        settings=stand_in.settings,
        store=stand_in.store,
        uploads=UploadStore(stand_in.settings),
        batches=batches,
        changes=BatchActions(stand_in.settings),
        queue=stand_in.queue,
        workers=stand_in.workers,
        storage=stand_in.storage,
        objects=objects,
        results=BatchResults(stand_in.store, batches, stand_in.storage, objects),
        stopping=threading.Event(),
    )
