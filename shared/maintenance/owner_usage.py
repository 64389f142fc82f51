"""What each owner uses, as the limits count it: for an operator who looks for whoever fills the server."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from shared.redis_client.connection import connect, guarded
from shared.settings import Settings

DAY_SECONDS = 86_400


@dataclass(frozen=True)
class OwnerUsage:
    """Queued jobs; bytes of uploads and outputs in the storage; estimated bytes of Redis; audio of today (UTC)."""

    owner: str
    queued: int
    stored_bytes: int
    record_bytes: int
    audio_seconds_today: float


def read_usage(settings: Settings, client: redis.Redis | None = None) -> list[OwnerUsage]:
    """Return the usage of every owner that has any, most queued jobs first. Raises StoreUnavailableError."""
    store, start = client or connect(settings), f"{settings.redis_prefix}usage:"
    names = sorted(set(_scan(store, f"{start}*")))
    day = guarded(store.time)[0] // DAY_SECONDS
    owners = [name.removeprefix(start) for name in names]
    pipeline = store.pipeline(transaction=False)
    for name, owner in zip(names, owners, strict=True):
        pipeline.hmget(name, ["queued", "bytes", "records"])
        pipeline.get(f"{settings.redis_prefix}audio:{owner}:{day}")
    answers = guarded(pipeline.execute)
    found = [
        OwnerUsage(owner, int(queued or 0), int(stored or 0), int(float(records or 0)), int(audio_ms or 0) / 1000)
        for owner, (queued, stored, records), audio_ms in zip(owners, answers[::2], answers[1::2], strict=True)
    ]
    return sorted(found, key=lambda usage: (-usage.queued, -usage.stored_bytes, usage.owner))


def _scan(store: redis.Redis, pattern: str) -> list[str]:
    return guarded(lambda: list(store.scan_iter(match=pattern, count=1000)))
