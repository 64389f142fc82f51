"""Measures how full Redis is, and refuses new records before its `maxmemory` is reached.

At `maxmemory` Redis refuses every command that needs memory. The reserve below it lets accepted jobs still be claimed,
ended, canceled and deleted.
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
"""The share of `maxmemory` at which new records are refused. Lowering it enlarges the reserve for accepted jobs."""

MEASUREMENT_SECONDS = 1.0
"""How long a measurement is used. Raising it queries Redis less often, and notices a full Redis later."""


@dataclass(frozen=True)
class MemoryUse:
    """The bytes that Redis uses, and its `maxmemory`; 0 if it has no limit or does not report it."""

    used_bytes: int = 0
    max_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether new records must be refused."""
        return 0 < ADMITTING_SHARE * self.max_bytes <= self.used_bytes


class RedisMemory:
    """The last measurement of this process. Thread-safe. Every method may raise StoreUnavailableError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._lock = threading.Lock()
        self._known, self._until = MemoryUse(), 0.0
        self._is_reported = True

    def memory_use(self) -> MemoryUse:
        """Return how full Redis is; the measurement is about a second old at most."""
        # Only one thread measures. If Redis hangs, the others use the last measurement instead of waiting.
        if self._is_reported and time.monotonic() >= self._until and self._lock.acquire(blocking=False):
            try:
                self._known = self._measure()
                self._until = time.monotonic() + MEASUREMENT_SECONDS
            finally:
                self._lock.release()
        return self._known

    def require_free_memory(self) -> None:
        """Raise StoreFullError if new records must be refused."""
        use = self.memory_use()
        if use.is_full:
            raise StoreFullError(
                f"Redis uses {use.used_bytes / use.max_bytes:.0%} of its maxmemory, "
                f"{use.max_bytes:,} bytes. New records are refused from {ADMITTING_SHARE:.0%} on."
            )

    def _measure(self) -> MemoryUse:
        info = guarded(self._read_info)
        if info is None:
            # The limits on memory are then not enforced; all others are.
            log.warning("redis memory unknown: allow its user to run INFO")
            self._is_reported = False
            return MemoryUse()
        # Redis compares the same way: it does not count buffers of its append-only file.
        used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
        return MemoryUse(used, int(info.get("maxmemory", 0)))

    def _read_info(self) -> dict[str, Any] | None:
        try:
            return self._redis.info("memory")
        except NoPermissionError:
            return None
