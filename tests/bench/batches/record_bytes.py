"""What records take in Redis, beside the estimate of lua/lib/record_bytes.lua, and how much one key can use.

    python -m tests.bench.batches.record_bytes

Starts a Valkey of its own. A figure well below 1 in the last column means that an owner can hold more than the setting
MAX_REDIS_SHARE_PER_OWNER says.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from api.idempotency_records import IdempotencyStore
from api.routes.idempotency import hashlib
from shared.batches.model import BatchRequest, Manifest, batch_id_from
from shared.batches.store import BatchStore
from shared.errors import QuotaExceededError
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore, new_id
from shared.jobs.uploads import UploadStore
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.redis_client.connection import connect
from shared.settings import Settings
from tests.fixtures.api import _output
from tests.fixtures.servers import make_valkey

NUMBER = 2_000

NOISE = random.Random(1)


class Bench:
    """Makes records of one kind after the other."""

    def __init__(self, settings: Settings) -> None:
        self.redis = connect(settings)
        self.store, self.queue = JobStore(settings, self.redis), JobQueue(settings, self.redis)
        self.uploads, self.batches = UploadStore(settings, self.redis), BatchStore(settings, self.redis)
        self.repetitions = IdempotencyStore(settings, self.redis)
        WorkerRegistry(settings, self.redis).heartbeat(Worker("w", 1, ("e",), ()))

    def job(self, metadata_bytes: int = 0, webhook_url: str | None = None) -> str:
        """Put a job in line."""
        source = Source(f"uploads/{new_id()}", "song.mp3", 3_000_000, NOISE.randbytes(32).hex(), '"' + "e" * 32 + '"')
        metadata = {"x": NOISE.randbytes(metadata_bytes // 2).hex()} if metadata_bytes else {}
        request = JobRequest(source=source, engine="e", preset="p", metadata=metadata, webhook_url=webhook_url)
        return self.store.submit(request).id

    def ended_job(self) -> None:
        """Put a job in line, claim it and commit a usual result."""
        job_id = self.job()
        self.redis.zadd("sq:published:e", {job_id: 1})
        claim = self.store.claims.take(job_id, "w")
        assert claim
        levels = {"duration_seconds": 241.5, "peak_db": -3.01, "loudness_lufs": -14.23, "channels": 2}
        stems = ("vocals", "accompaniment")
        outputs = [
            *(_output(n, "stem", f"{n}.flac", "audio/flac", levels) for n in stems),
            *(_output(n, "waveform", f"waveform-{n}.json", "application/json", {}) for n in (*stems, "mixture")),
            _output("spectrogram", "picture", "spectrogram.png", "image/png", {"range_db": 80, "max_hz": 16000}),
            _output("report", "report", "report.json", "application/json", {}),
        ]
        probed = {
            "duration_seconds": 241.5,
            "sample_rate_hz": 44100,
            "channels": 2,
            "codec": "mp3",
            "bit_rate": 320_000,
        }
        report = {"engine_version": "1", "seconds": {str(n): 1.234 for n in range(12)}, "notes": ["x" * 300]}
        cache_keys = [NOISE.randbytes(32).hex()]
        assert self.store.claims.succeed(claim, outputs=outputs, probed=probed, report=report, cache_keys=cache_keys)

    def upload(self) -> None:
        """Record an upload."""
        fields = {"key": f"uploads/{new_id()}", "filename": "01 - A song of some length.flac", "size_bytes": "30000000"}
        fields |= {
            "sha256": NOISE.randbytes(32).hex(),
            "etag": '"' + "e" * 32 + '-4"',
            "owner": "local",
            "implicit": "",
        }
        self.uploads.add(new_id(), fields)

    def batch(self) -> None:
        """Take a batch."""
        request = BatchRequest(
            Manifest(None, "batches/x/manifest.jsonl", "jsonl", 300, "e" * 34), "local", name="A name"
        )
        self.batches.create(batch_id_from(new_id()), request)

    def repetition(self) -> None:
        """Remember a request under an Idempotency-Key."""
        name = hashlib.sha256(new_id().encode()).hexdigest()
        self.repetitions.reserve_key(name, "local", new_id()[:16], new_id())
        self.repetitions.record_request(name, NOISE.randbytes(32).hex())
        self.repetitions.record_answer(name, 202, new_id())

    def measured(self, what: str, make: Callable[[], object]) -> None:
        """Print what one of a kind takes, and what it is reckoned to take."""
        used, reckoned = self.used(), self.reckoned()
        for _ in range(NUMBER):
            make()
        taken, counted = (self.used() - used) / NUMBER, (self.reckoned() - reckoned) / NUMBER
        sys.stdout.write(f"{what:40} {taken:9,.0f} bytes, reckoned {counted:9,.0f}, {counted / taken:5.2f}\n")

    def used(self) -> int:
        """Return the bytes that Redis uses."""
        return int(self.redis.info("memory")["used_memory"])

    def reckoned(self) -> int:
        """Return what all records are reckoned to take."""
        hours = self.redis.hvals("sq:repetitions:local")
        return int(self.redis.get("sq:records") or 0) + sum(map(int, hours))


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        server = make_valkey(Path(folder))
        server.start()
        try:
            bench = Bench(Settings(redis_url=server.url, max_queued_jobs_per_owner=0))
            bench.measured("a job that waits", bench.job)
            bench.measured("the same with 16 kB of metadata", lambda: bench.job(16_000))
            bench.measured("the same with a webhook", lambda: bench.job(0, "http://a.example/"))
            bench.measured("a job that has ended", bench.ended_job)
            bench.measured("an upload", bench.upload)
            bench.measured("a batch", bench.batch)
            bench.measured("an Idempotency-Key", bench.repetition)
            try:
                while True:
                    bench.job(16_000)
            except QuotaExceededError as error:
                used = bench.used() / int(bench.redis.info("memory")["maxmemory"])
                sys.stdout.write(f"jobs with 16 kB of metadata until {error.code}: {used:.0%} of maxmemory\n")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
