"""Webhooks that are to be sent, and the log of their deliveries, in Redis.

The script that ends a job or batch also creates its message, so no end goes untold. This module decides when a message
is due and keeps a log of the tries; api/webhooks/delivery.py sends. Messages that are due stand in a line for each
owner and host. Owners take turns, and so do the hosts of an owner: a long line delays no other.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from shared.redis_client.connection import connect, guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

LEASE_SECONDS = 60.0
"""How long a try may take before another process tries as well; longer than any try."""

MAX_SCHEDULED = 100
"""How many retries and lost messages a script moves into lines at once; raising it blocks Redis for longer."""

MAX_OWNERS = 1000
"""How many owners are looked at for a message that may be taken; all but the first are only where many are busy."""

MAX_ENTRIES = 50
"""How many tries are remembered for each job."""


@dataclass(frozen=True)
class Message:
    """An end of a job or batch that is to be told; `at` is when it came, in seconds since 1970.

    `host` is the host and port of the URL.
    """

    id: str
    job_id: str
    type: str
    at: float
    tries: int
    owner: str
    host: str


class WebhookStore:
    """The messages. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._keep_ms = int(settings.retention_days * 86_400_000)

    def take(self, *, busy_owners: Collection[str] = (), busy_hosts: Collection[str] = ()) -> Message | None:
        """Take a message that is due and whose owner and host are not busy, or None."""
        busy = json.dumps(list(busy_owners)), json.dumps(list(busy_hosts))
        while True:
            taken = self._scripts.run("webhooks/take_due", int(LEASE_SECONDS * 1000), MAX_SCHEDULED, MAX_OWNERS, *busy)
            if not isinstance(taken, int):
                message, job_id, kind, at_ms, tries, owner, host = taken
                return Message(message, job_id, kind, int(at_ms) / 1000, int(tries), owner, host)
            if taken < MAX_SCHEDULED:
                return None

    def settle(self, message: Message, entry: Mapping[str, Any], *, retry_in_seconds: float | None) -> None:
        """Note how a try went; None: it was the last."""
        pause_ms = -1 if retry_in_seconds is None else int(retry_in_seconds * 1000)
        self._scripts.run(
            "webhooks/settle", message.id, message.job_id, json.dumps(entry), pause_ms, self._keep_ms, MAX_ENTRIES
        )

    def log(self, job_id: str) -> list[dict[str, Any]]:
        """Return what is remembered of the tries for a job, oldest first."""
        entries = cast("list[str]", guarded(lambda: self._redis.lrange(f"{self._prefix}deliveries:{job_id}", 0, -1)))
        return [json.loads(entry) for entry in entries]
