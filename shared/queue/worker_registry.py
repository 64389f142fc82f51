"""Keeps track of the live workers: each renews its record in Redis with a heartbeat."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from shared.redis_client.connection import connect, guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

SILENT_WORKERS_SECONDS = 3600
"""How long a worker without heartbeats is counted as silent; worker_heartbeat.lua keeps its record as long."""


@dataclass(frozen=True)
class Worker:
    """A live worker, as its last heartbeat described it."""

    id: str
    slots: int
    engines: tuple[str, ...]
    descriptions: tuple[Mapping[str, Any], ...]
    kept_slots: int = 0
    """Slots that are reserved for interactive jobs."""
    fault: str | None = None
    """Why it claims no jobs: the storage does not serve it. None if it claims jobs."""
    landlock: int = 0
    """The version of Landlock on its machine; 0: none, so decoders run without this sandbox."""
    seccomp: bool = False
    """Whether seccomp filters system calls on its machine."""
    scratch_free_bytes: int | None = None
    """Free space of the disk that its scratch folder is on; None if unknown."""
    scratch_size_bytes: int | None = None
    """Size of that disk; None if unknown."""


class WorkerRegistry:
    """The workers' records in Redis. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._alive_seconds = settings.worker_alive_seconds
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)

    def heartbeat(self, worker: Worker, *, was_away: bool = False) -> None:
        """Record that a worker is alive, with its slots and engines.

        `was_away`: its calls to Redis failed until now, or Redis was restarted.
        """
        self._scripts.run(
            "queue/worker_heartbeat",
            worker_id=worker.id,
            slots=worker.slots,
            engines=",".join(worker.engines),
            descriptions=json.dumps(worker.descriptions),
            kept_slots=worker.kept_slots,
            fault=worker.fault,
            was_away=was_away,
            landlock=worker.landlock,
            seccomp=worker.seccomp,
            scratch_free_bytes=worker.scratch_free_bytes,
            scratch_size_bytes=worker.scratch_size_bytes,
        )

    def remove(self, worker_id: str) -> None:
        """Remove a worker that stops, so its slots no longer count."""
        guarded(lambda: self._redis.zrem(f"{self._prefix}workers", worker_id))

    def live_workers(self) -> list[Worker]:
        """Return the live workers."""
        ids = self._live_ids()
        pipeline = self._redis.pipeline(transaction=False)
        for worker_id in ids:
            pipeline.hgetall(f"{self._prefix}worker:{worker_id}")
        records = cast("Sequence[Mapping[str, str]]", guarded(pipeline.execute))
        return [_worker(i, r) for i, r in zip(ids, records, strict=True) if r]

    def count_silent_workers(self) -> int:
        """Return the number of workers that stopped sending heartbeats within the last hour and were not stopped."""
        now = guarded(self._redis.time)[0]
        since, until = (now - SILENT_WORKERS_SECONDS) * 1000, int((now - self._alive_seconds) * 1000)
        return guarded(lambda: self._redis.zcount(f"{self._prefix}workers", since, f"({until}"))

    def live_engines(self) -> set[str]:
        """Return the names of the live workers' engines. Costs less than reading all that the workers tell."""
        pipeline = self._redis.pipeline(transaction=False)
        for worker_id in self._live_ids():
            pipeline.hget(f"{self._prefix}worker:{worker_id}", "engines")
        return {name for engines in guarded(pipeline.execute) for name in _names(engines)}

    def _live_ids(self) -> list[str]:
        now = guarded(self._redis.time)
        since = int((now[0] - self._alive_seconds) * 1000)
        return cast("list[str]", guarded(lambda: self._redis.zrangebyscore(f"{self._prefix}workers", since, "+inf")))


def _names(engines: str | None) -> tuple[str, ...]:
    return tuple(name for name in (engines or "").split(",") if name)


def _worker(worker_id: str, record: Mapping[str, str]) -> Worker:
    return Worker(
        id=worker_id,
        slots=int(record["slots"]),
        engines=_names(record["engines"]),
        descriptions=tuple(json.loads(record["descriptions"] or "[]")),
        kept_slots=int(record.get("kept_slots") or 0),
        fault=record.get("fault") or None,
        landlock=int(record.get("landlock") or 0),
        seccomp=record.get("seccomp") == "1",
        scratch_free_bytes=_bytes(record.get("scratch_free_bytes")),
        scratch_size_bytes=_bytes(record.get("scratch_size_bytes")),
    )


def _bytes(text: str | None) -> int | None:
    return int(text) if text else None
