"""Webhook messages that are to be sent, and the log of their delivery attempts, in Redis.

The script that ends a job or batch also creates its message, so no webhook is lost. This module decides when a message
is due and logs the attempts; api/webhooks/delivery.py sends. Due messages stand in a queue for each owner and host.
Owners take turns, and so do the hosts of an owner, so that a long queue delays no other.
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
"""How long a process has a taken message to itself; longer than any attempt."""

MAX_SCHEDULED = 100
"""How many due retries and expired leases a script queues at once. Raising it blocks Redis for longer."""

MAX_OWNERS = 1000
"""How many owners' queues are searched for a message that may be taken; more than one only if owners are busy."""

MAX_ENTRIES = 50
"""How many attempts are logged for each job."""


@dataclass(frozen=True)
class Message:
    """The end of a job or batch to notify a client of; `at` is when it ended, in seconds since 1970.

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
    """The webhook messages. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._keep_ms = settings.retention_ms

    def take_due_message(
        self, *, busy_owners: Collection[str] = (), busy_hosts: Collection[str] = ()
    ) -> Message | None:
        """Take a due message whose owner and host are not busy; None if there is none."""
        while True:
            taken = self._scripts.run(
                "webhooks/take_due",
                lease_ms=int(LEASE_SECONDS * 1000),
                max_scheduled=MAX_SCHEDULED,
                max_owners=MAX_OWNERS,
                busy_owners=busy_owners,
                busy_hosts=busy_hosts,
            )
            if not isinstance(taken, int):
                message, job_id, kind, at_ms, tries, owner, host = taken
                return Message(message, job_id, kind, int(at_ms) / 1000, int(tries), owner, host)
            if taken < MAX_SCHEDULED:
                return None

    def record_attempt(self, message: Message, entry: Mapping[str, Any], *, retry_in_seconds: float | None) -> None:
        """Record an attempt and schedule the next; with None it was the last."""
        pause_ms = -1 if retry_in_seconds is None else int(retry_in_seconds * 1000)
        self._scripts.run(
            "webhooks/settle",
            message_id=message.id,
            record_id=message.job_id,
            entry=json.dumps(entry),
            pause_ms=pause_ms,
            keep_ms=self._keep_ms,
            max_entries=MAX_ENTRIES,
        )

    def read_attempts(self, job_id: str) -> list[dict[str, Any]]:
        """Return the logged attempts of a job's webhooks, oldest first."""
        entries = cast("list[str]", guarded(lambda: self._redis.lrange(f"{self._prefix}deliveries:{job_id}", 0, -1)))
        return [json.loads(entry) for entry in entries]
