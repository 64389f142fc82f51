"""How full Redis is, and what of it may be given away: the rest is for what was accepted already.

Owns the shares. Past its `maxmemory` Redis refuses whatever takes memory, so that nothing new is taken some way before:
jobs then still end, are claimed, canceled and deleted. Scripts that only go on with what is there may pass the limit
(connection.py says which).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import redis
import structlog
from redis.exceptions import NoPermissionError

from shared.errors import StoreFullError
from shared.redis_client.connection import guarded

log = structlog.get_logger(__name__)

ADMITTING_SHARE = 0.9
"""Of `maxmemory`, where submissions end. Raising it takes more; lowering it leaves more for the ends of jobs."""

LOOK_SECONDS = 1.0
"""How long what Redis told of its memory counts. Raising it asks Redis less often, and lets more in meanwhile."""


@dataclass(frozen=True)
class Filling:
    """Bytes that Redis uses, and its `maxmemory`; 0 where it has none, or does not tell."""

    used_bytes: int = 0
    max_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing new is to be taken."""
        return 0 < ADMITTING_SHARE * self.max_bytes <= self.used_bytes


class RedisMemory:
    """What one process knows of it; any thread may ask. Every method may raise StoreUnavailableError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._lock = threading.Lock()
        self._known, self._until = Filling(), 0.0
        self._is_told = True

    def filling(self) -> Filling:
        """Return how full Redis is, as it was about a second ago at most."""
        # One thread looks; while Redis hangs, others must not wait for it in turn.
        if self._is_told and time.monotonic() >= self._until and self._lock.acquire(blocking=False):
            try:
                self._known = self._look()
                self._until = time.monotonic() + LOOK_SECONDS
            finally:
                self._lock.release()
        return self._known

    def demand_room(self) -> None:
        """Raise StoreFullError if nothing new is to be taken."""
        filling = self.filling()
        if filling.is_full:
            raise StoreFullError(
                f"Redis uses {filling.used_bytes / filling.max_bytes:.0%} of its maxmemory, "
                f"{filling.max_bytes:,} bytes; from {ADMITTING_SHARE:.0%} on nothing new is taken."
            )

    def _look(self) -> Filling:
        told = guarded(self._ask)
        if told is None:
            # Limits by memory are then not kept; all others are.
            log.warning("redis does not tell its memory: let its user run INFO")
            self._is_told = False
            return Filling()
        # As Redis itself compares: what waits to be written to its log does not count.
        used = int(told.get("used_memory", 0)) - int(told.get("mem_not_counted_for_evict", 0))
        return Filling(used, int(told.get("maxmemory", 0)))

    def _ask(self) -> dict[str, Any] | None:
        try:
            return self._redis.info("memory")
        except NoPermissionError:
            return None
