"""What collectors agree on in Redis: whose turn it is, and which storage this Redis belongs to.

Owns two keys; what is garbage is garbage_collector.py's.
"""

from __future__ import annotations

from typing import cast

import redis

from shared.redis_client.connection import Scripts, connect, guarded
from shared.settings import Settings


class CollectorState:
    """The turn and the tie. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._instance = f"{settings.redis_prefix}instance"
        self._every_ms = max(1, int(settings.collect_seconds * 1000))

    def take_turn(self) -> bool:
        """Return whether it is time to collect and nobody has begun; the turn ends by itself."""
        return bool(self._scripts.run("maintenance/collector_turn", self._every_ms))

    def instance(self, set_to: str | None = None) -> str | None:
        """Return the id by which Redis and storage know that they belong together, after setting it if given."""
        if set_to is not None:
            guarded(lambda: self._redis.set(self._instance, set_to))
        return cast("str | None", guarded(lambda: self._redis.get(self._instance)))
