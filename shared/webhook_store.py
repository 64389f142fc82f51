"""Webhooks that are to be sent, and the log of their deliveries, in Redis.

A message comes to be in the script that ends its job, so that no end goes untold. Owns when a message is due and what
is remembered of each try; sends nothing (api/webhooks.py does).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from shared.redis_connection import Scripts, connect, guarded
from shared.settings import Settings

LEASE_SECONDS = 60.0
"""How long a try may take before another process tries as well; longer than any try."""

MAX_ENTRIES = 50
"""How many tries are remembered for each job."""


@dataclass(frozen=True)
class Message:
    """One end of a job that is to be told; `at` is when it came, in seconds since 1970."""

    id: str
    job_id: str
    type: str
    at: float
    tries: int


class WebhookStore:
    """The messages. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._keep_ms = int(settings.retention_days * 86_400_000)

    def take(self) -> Message | None:
        """Take a message that is due, or None."""
        taken = self._scripts.run("webhook_take", int(LEASE_SECONDS * 1000))
        if not taken:
            return None
        message, job_id, kind, at_ms, tries = taken
        return Message(message, job_id, kind, int(at_ms) / 1000, int(tries))

    def settle(self, message: Message, entry: Mapping[str, Any], *, retry_in_seconds: float | None) -> None:
        """Note how a try went; None: it was the last."""
        pause_ms = -1 if retry_in_seconds is None else int(retry_in_seconds * 1000)
        self._scripts.run(
            "webhook_settle", message.id, message.job_id, json.dumps(entry), pause_ms, self._keep_ms, MAX_ENTRIES
        )

    def log(self, job_id: str) -> list[dict[str, Any]]:
        """Return what is remembered of the tries for a job, oldest first."""
        entries = cast("list[str]", guarded(lambda: self._redis.lrange(f"{self._prefix}deliveries:{job_id}", 0, -1)))
        return [json.loads(entry) for entry in entries]
