"""Counters of all processes, summed in Redis, for `/metrics`.

Counting only changes memory; `flush` sends the sums to Redis. Counts may be lost if a process is killed; do not use
them for accounting.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import redis

from shared.redis_client.connection import guarded
from shared.redis_client.scripts import Scripts

STAGE_SECONDS_BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Upper bounds of the histogram of stage durations, in seconds."""

WAIT_SECONDS_BUCKETS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 30_000.0, 100_000.0)
"""Upper bounds of the histogram of waiting times, in seconds."""

HISTOGRAMS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "stage_seconds": ("Duration of the pipeline's stages", STAGE_SECONDS_BUCKETS),
    "job_wait_seconds": (
        "Seconds that a job was in the queue before a worker claimed it for its first attempt",
        WAIT_SECONDS_BUCKETS,
    ),
}
"""The help text and the bounds of each histogram."""

NAMES: Mapping[str, str] = {
    "attempts_total": "Attempts by outcome: succeeded, cached, handed back, failed: CODE, retries after CODE",
    "audio_seconds_total": "Seconds of audio separated, by engine",
    "separation_seconds_total": "Seconds of separation work, by engine; audio over work is the real-time factor",
    "leases_lost_total": "Claims that workers lost: the lease ran out, or the job was canceled",
    "rescues_total": "Repairs by rescuers, by kind",
    "retries_total": "Attempts that were queued again, by code",
    "child_restarts_total": "Child processes replaced, by reason",
    "faults_total": "Failed calls, by the part that was called",
    "collected_total": "Objects and jobs removed by garbage collection, by kind",
    "webhook_attempts_total": "Attempts to deliver a webhook, by outcome",
}


@dataclass(frozen=True)
class Count:
    """One counter with its labels."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Counters:
    """The counters of one process. Thread-safe."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._scripts = Scripts(client, prefix)
        self._key = f"{prefix}tally"
        self._lock = threading.Lock()
        self._pending: Counter[str] = Counter()

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Increase a counter; `name` is one of NAMES."""
        self._add(NAMES[name] and name, value, labels)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Count one value of a histogram; `name` is one of HISTOGRAMS."""
        _, bounds = HISTOGRAMS[name]
        self._add(f"{name}_sum", seconds, labels)
        self._add(f"{name}_count", 1.0, labels)
        for bound in bounds:
            if seconds <= bound:
                self._add(f"{name}_bucket", 1.0, {**labels, "le": str(bound)})

    def add_stage(self, stage: str, seconds: float) -> None:
        """Count one completed stage and its duration in seconds."""
        self.observe("stage_seconds", seconds, stage=stage)

    def _add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        field = "|".join([name, *(f"{k}={v}" for k, v in sorted(labels.items()))])
        with self._lock:
            self._pending[field] += value  # type: ignore[assignment]

    def flush(self) -> None:
        """Send the counts since the last flush. Raises StoreUnavailableError; the counts are then kept."""
        with self._lock:
            pending, self._pending = self._pending, Counter()
        if not pending:
            return
        try:
            self._scripts.run("maintenance/add_counts", names=pending.keys(), amounts=pending.values())
        except BaseException:
            with self._lock:
                self._pending.update(pending)
            raise

    def read_sums(self) -> Iterator[Count]:
        """Yield the sums over all processes. Raises StoreUnavailableError."""
        raw = cast("dict[str, str]", guarded(lambda: self._redis.hgetall(self._key)))
        for field, value in sorted(raw.items()):
            name, *labels = field.split("|")
            yield Count(name, tuple(cast("tuple[str, str]", tuple(x.split("=", 1))) for x in labels), float(value))
