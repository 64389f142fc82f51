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

NAMES: Mapping[str, str] = {
    "attempts_total": "Attempts by outcome",
    "stage_seconds_bucket": "Stage durations: attempts at most this long",
    "stage_seconds_sum": "Seconds spent in each stage",
    "stage_seconds_count": "Attempts that completed each stage",
    "audio_seconds_total": "Seconds of audio separated, by engine",
    "separation_seconds_total": "Seconds of separation work, by engine; audio over work is the real-time factor",
    "leases_lost_total": "Claims that workers lost",
    "rescues_total": "Repairs by rescuers, by kind",
    "retries_total": "Attempts that were queued again, by code",
    "child_restarts_total": "Child processes replaced, by reason",
    "faults_total": "Failed calls, by the part that was called",
    "collected_total": "Objects and jobs removed by garbage collection, by kind",
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
        field = "|".join([NAMES[name] and name, *(f"{k}={v}" for k, v in sorted(labels.items()))])
        with self._lock:
            self._pending[field] += value  # type: ignore[assignment]

    def add_stage(self, stage: str, seconds: float) -> None:
        """Count one completed stage and its duration in seconds."""
        self.add("stage_seconds_sum", seconds, stage=stage)
        self.add("stage_seconds_count", stage=stage)
        for bound in STAGE_SECONDS_BUCKETS:
            if seconds <= bound:
                self.add("stage_seconds_bucket", stage=stage, le=str(bound))

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
