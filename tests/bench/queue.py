"""How batches are read, kept and worked off: `make bench-queue`.

Prints both sides of each comparison:

- seconds until 100,000 manifest lines are accepted and read (goal: under 60);
- bytes of Redis before and with 100,000 items, and what a finished one keeps (goals: 100 MB, 300 bytes);
- `GET /v1/batches/<id>` while the manifest is read and while songs run, against idle (goal: 1.5 times at most);
- wall time of a real batch against the summed time of its children over the slots (goal: 1.15 times at most).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from shared.batch_objects import BatchObjects
from shared.batch_store import BatchStore
from shared.job_queue import Worker, celery_queue
from shared.upload_store import UploadStore
from tests.fault.conftest import make_song
from tests.fault.deployment import Deployment
from tests.fixtures.api import ENGINE, StandIn
from tests.fixtures.servers import BUCKET
from worker.batch_feeder import BatchFeeder
from worker.batch_results import BatchResults

LINES = 100_000
FINISHED = 3_000
SONGS, SONG_SECONDS = 12, 120.0
READS = 200


def put_manifest(deployment: Deployment, lines: int) -> dict[str, Any]:
    """Put a manifest of that many lines into storage."""
    deployment.storage.put_bytes(b"song", "catalog/song.flac", "audio/flac")
    source = {"s3": {"bucket": BUCKET, "key": "catalog/song.flac"}}
    items = (
        {"track": f"Artist {n % 977} - Track {n}", "source": source, "metadata": {"isrc": f"XX{n:010d}"}}
        for n in range(lines)
    )
    text = "".join(json.dumps(item) + "\n" for item in items)
    deployment.storage.put_bytes(text.encode(), "catalog/manifest.jsonl", "application/jsonl")
    return {"s3": {"bucket": BUCKET, "key": "catalog/manifest.jsonl"}}


def latency_ms(deployment: Deployment, batch_id: str, reads: int = READS) -> float:
    """Return the median of that many reads, one after the other."""
    took = []
    with httpx.Client(base_url=deployment.client.base_url) as client:
        client.get(f"/v1/batches/{batch_id}").raise_for_status()
        for _ in range(reads):
            begun = time.perf_counter()
            client.get(f"/v1/batches/{batch_id}").raise_for_status()
            took.append(time.perf_counter() - begun)
            time.sleep(0.01)
    return 1000 * statistics.median(took)


def used_bytes(deployment: Deployment) -> int:
    """Return what Redis holds."""
    return int(deployment.store._redis.info("memory")["used_memory"])


def measure_reading(deployment: Deployment) -> None:
    """Read 100,000 lines and look at the batch meanwhile."""
    deployment.queue.pause("slow")
    small = deployment.submit_batch(manifest=put_manifest(deployment, 10), defaults={"engine": "slow"})
    deployment.until_batch(small, "running")
    manifest = put_manifest(deployment, LINES)
    before, idle = used_bytes(deployment), latency_ms(deployment, small)
    begun = time.monotonic()
    batch_id = deployment.submit_batch(manifest=manifest, defaults={"engine": "slow"})
    accepted = time.monotonic() - begun
    looks: list[float] = []
    watch = threading.Thread(target=lambda: looks.append(latency_ms(deployment, batch_id)))
    watch.start()
    deployment.until_batch(batch_id, "running", seconds=600)
    read = time.monotonic() - begun
    watch.join()
    after = used_bytes(deployment)
    print(f"accepted {LINES:,} lines: answer after {accepted:.2f} s, all read after {read:.1f} s (goal: under 60 s)")
    print(
        f"redis: {before:,} bytes before, {after:,} with {LINES:,} items: {(after - before) / 1e6:.1f} MB (goal: 100)"
    )
    print(f"reading a batch: {idle:.2f} ms idle, {looks[0]:.2f} ms while lines are read: {looks[0] / idle:.2f} times")
    deployment.client.post(f"/v1/batches/{batch_id}/cancel").raise_for_status()
    deployment.client.post(f"/v1/batches/{small}/cancel").raise_for_status()


def feeder_of(stand_in: StandIn) -> BatchFeeder:
    """Return a feeder in this process."""
    batches, objects = BatchStore(stand_in.settings), BatchObjects(stand_in.storage)
    return BatchFeeder(
        name="bench",
        settings=stand_in.settings,
        store=stand_in.store,
        uploads=UploadStore(stand_in.settings),
        batches=batches,
        queue=stand_in.queue,
        storage=stand_in.storage,
        objects=objects,
        results=BatchResults(stand_in.store, batches, stand_in.storage, objects),
        stopping=threading.Event(),
    )


def measure_finished(deployment: Deployment) -> None:
    """Have a worker that stands in finish items, and see what Redis keeps of them."""
    stand_in = StandIn(deployment.settings)
    stand_in.queue.worker_beat(_worker(50))
    feeder = feeder_of(stand_in)
    manifest = put_manifest(deployment, FINISHED)
    batch_id = deployment.submit_batch(manifest=manifest, defaults={"engine": "repetition"})
    while feeder.batches.read(batch_id).state == "reading":
        feeder.run()
    before = used_bytes(deployment)
    while feeder.batches.read(batch_id).state == "running":
        stand_in.queue.worker_beat(_worker(50))
        feeder.run()
        for job_id in stand_in.published_ids():
            claim = stand_in.claim(job_id)
            contents = [f"{int(job_id[-8:], 16):032x}"]
            report = {"engine_version": "1", "seconds": {"total": 31.5}}
            stand_in.store.succeed(claim, outputs=[], probed=_probed(job_id), report=report, contents=contents)
    while feeder.batches.pending_results(batch_id):
        feeder.run()
    # The messages, which a real worker takes.
    stand_in.store._redis.delete("sq:" + celery_queue("repetition", "bulk"))
    kept = (used_bytes(deployment) - before) / FINISHED
    print(f"a finished item keeps {kept:.0f} bytes of Redis (goal: 300); {FINISHED:,} were finished by a stand-in")
    print(f"100,000 finished items come to {kept * 100_000 / 1e6:.1f} MB (goal: 100), reckoned from these")


def measure_real(deployment: Deployment, folder: Path) -> None:
    """Work off real songs, and look at the batch meanwhile."""
    items = []
    for n in range(SONGS):
        song = make_song(folder / "song.wav", SONG_SECONDS + n)
        deployment.storage.put_bytes(song.read_bytes(), f"catalog/{n}.wav", "audio/wav")
        items.append({"source": {"s3": {"bucket": BUCKET, "key": f"catalog/{n}.wav"}}})
    warm = deployment.submit_batch(items=items[:1], defaults={"engine": "repetition", "no_cache": True})
    deployment.until_batch(warm, "ended", seconds=300)
    slots = int(deployment.settings.worker_slots)
    idle, begun = latency_ms(deployment, warm), time.monotonic()
    batch_id = deployment.submit_batch(items=items, defaults={"engine": "repetition", "no_cache": True})
    busy = latency_ms(deployment, batch_id)
    deployment.until_batch(batch_id, "ended", seconds=1800)
    wall = time.monotonic() - begun
    done = deployment.items(batch_id)
    children = sum(item["seconds"] for item in done) / slots
    print(f"reading a batch: {idle:.2f} ms idle, {busy:.2f} ms while songs run: {busy / idle:.2f} times (goal: 1.5)")
    print(
        f"{len(done)} songs of {SONG_SECONDS:.0f} s on {slots} slots: {wall:.1f} s on the wall, {children:.1f} s of "
        f"children over slots: {wall / children:.3f} (goal: 1.15)"
    )


def _worker(slots: int) -> Worker:
    return Worker("bench", slots, ("repetition",), (ENGINE,))


def _probed(job_id: str) -> dict[str, Any]:
    return {"duration_seconds": 215.25, "sha256": job_id + job_id, "channels": 2, "sample_rate_hz": 44_100}


def main() -> None:
    """Run the parts that are named, or all."""
    wanted = sys.argv[1:] or ["reading", "finished", "real"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[Deployment], None]] = {
            "reading": measure_reading,
            "finished": measure_finished,
            "real": lambda deployment: measure_real(deployment, folder),
        }
        for part in wanted:
            deployment = Deployment(folder / part, S3_SOURCE_BUCKETS=BUCKET, MAX_REQUESTS_PER_MINUTE="0")
            try:
                deployment.start_api()
                if part != "finished":
                    deployment.start_worker()
                parts[part](deployment)
            finally:
                deployment.close()


if __name__ == "__main__":
    main()
