"""Idempotency-Keys in Redis: who works on a key's request now, what it asked for, what it was answered.

Owns the records; what makes two requests the same, and how answers are kept, is api/idempotency.py's to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis

from shared.redis_connection import Scripts, connect
from shared.settings import Settings

KEEP_SECONDS = 24 * 3600
"""How long an answer is kept; raising it makes late repetitions safe, and holds about 1 kB longer for each."""

LEASE_SECONDS = 20.0
"""How long a request that went silent holds its key; lower lets a repetition in sooner after a crash."""


@dataclass(frozen=True)
class Held:
    """The key is ours; what the request makes takes `resource_id`, which a request that died may have used before."""

    resource_id: str


@dataclass(frozen=True)
class Answered:
    """The key's request was answered."""

    fingerprint: str
    answer: str


class IdempotencyStore:
    """The records. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._scripts = Scripts(client or connect(settings), settings.redis_prefix)

    def reserve(self, name: str, token: str, resource_id: str) -> Held | Answered | None:
        """Take a key, or renew the hold that the token has on it; None while another request holds it."""
        outcome, *rest = self._scripts.run(
            "key_reserve", name, token, resource_id, int(LEASE_SECONDS * 1000), KEEP_SECONDS * 1000
        )
        if outcome == "answered":
            return Answered(*rest)
        return Held(*rest) if outcome == "held" else None

    def seal(self, name: str, fingerprint: str) -> bool:
        """Tie a key to what its request asks for; False when it is tied to something else."""
        return bool(self._scripts.run("key_seal", name, fingerprint))

    def answer(self, name: str, answer: str) -> None:
        """Keep the answer of a key's request."""
        self._scripts.run("key_answer", name, answer, KEEP_SECONDS * 1000)

    def release(self, name: str, token: str, *, forget: bool) -> None:
        """Let go of a key without an answer; `forget` when its request made nothing, so that it may be corrected."""
        self._scripts.run("key_release", name, token, int(forget))
