"""A worker that answers jobs with copies of earlier outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from shared.batches.item_status import BatchItems
from shared.batches.store import BatchStore
from shared.counters import Counters
from shared.jobs.claims import Claim
from shared.jobs.model import Job, Output
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import new_id
from shared.jobs.uploads import UploadStore
from shared.redis_client.connection import connect
from shared.redis_client.scripts import Scripts
from shared.storage.object_keys import output_key, upload_key
from tests.fixtures.api import ENGINE, StandIn
from worker.child.pool import ChildPool
from worker.jobs.result_cache import ResultCache
from worker.jobs.storage_watch import StorageWatch
from worker.jobs.supervisor import Supervisor

SHA256 = "ab" * 32

DETAILS = {"duration_seconds": 2.0}


@dataclass
class World(StandIn):
    """A worker with the real supervisor, whose children cannot separate: only copies succeed."""

    folder: Path = Path()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.announce()
        self.earlier = ResultCache(
            items=BatchItems(self.store, BatchStore(self.settings), self.storage),
            store=self.store,
            scripts=Scripts(connect(self.settings), self.settings.redis_prefix),
            storage=self.storage,
            engines=lambda: [ENGINE],
        )
        counters = Counters(connect(self.settings), self.settings.redis_prefix)
        stopping = Event()
        self.supervisor = Supervisor(
            settings=self.settings,
            store=self.store,
            storage=self.storage,
            children=ChildPool(self.settings, self.folder, counters),
            counters=counters,
            stopping=stopping,
            scratch_folder=self.folder / "jobs",
            result_cache=self.earlier,
            watch=StorageWatch(self.storage, stopping, lambda: None),
            worker_folder=self.folder,
        )

    def submit(self, **changes: Any) -> Claim:
        upload_id = new_id()
        fields = {"key": upload_key(upload_id), "owner": "local", "size_bytes": "4", "implicit": "1"}
        UploadStore(self.settings).add(upload_id, fields)
        source = Source(upload_key(upload_id), "song.mp3", 4, SHA256, "gone", upload_id)
        request = JobRequest(source=source, engine="repetition", preset="original")
        job = self.store.submit(replace(request, **changes))
        self.queue.dispatch()
        return self.claim(job.id)

    def separate(self, claim: Claim) -> Job:
        """End a job with outputs, as a separation would."""
        outputs = []
        for name in ("vocals", "accompaniment"):
            key = output_key(claim.job.id, claim.fence, f"{name}.flac")
            stored = self.storage.put_bytes(name.encode() * 100, key, "audio/flac")
            output = Output(name, "stem", key, f"{name}.flac", "audio/flac", stored.size_bytes, stored.sha256, DETAILS)
            outputs.append(output.stored(key, stored.etag))
        cache_keys = self.earlier.cache_keys_of(claim.job)
        assert self.store.claims.succeed(
            claim, outputs=outputs, probed={"channels": 2}, report={"a": 1}, busy_seconds=8.0, cache_keys=cache_keys
        )
        return self.store.read_jobs([claim.job.id])[0]

    def settle(self, claim: Claim) -> Job:
        """Run the job in the supervisor. It has no mixture in storage, so it can only be answered with copies."""
        self.supervisor.run_job(claim)
        return self.store.read_jobs([claim.job.id])[0]

    def find(self, **changes: Any) -> Job | None:
        """Return the earlier job whose outputs a new job gets."""
        claim = self.submit(**changes)
        cache_keys = self.earlier.cache_keys_of(claim.job)
        if not cache_keys or claim.job.request.no_cache:
            return None
        known = self.earlier.reserve(claim, cache_keys).known_job_id
        return self.earlier.find_earlier_job(known, claim.job) if known else None

    def read(self, output: Output) -> bytes:
        return b"".join(self.storage.open(output.key).chunks())
