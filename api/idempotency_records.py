"""Idempotency-Keys in Redis: who works on a key's request now, what it asked for, what it was answered.

Owns the records; what makes two requests the same, and how one is answered again, is api/routes/idempotency.py's to
say.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis

from shared.jobs.limits import Admission
from shared.redis_client.connection import connect
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

KEEP_SECONDS = 24 * 3600
"""How long a record is kept; raising it makes late repetitions safe, and holds about 0.4 kB longer for each. The hours
over which they are counted (lua/common.lua) go with it."""

LEASE_SECONDS = 20.0
"""How long a request that went silent holds its key; lower lets a repetition in sooner after a crash."""


@dataclass(frozen=True)
class Held:
    """The key is ours; what the request makes takes `resource_id`, which a request that died may have used before."""

    resource_id: str


@dataclass(frozen=True)
class Answered:
    """The key's request was answered: with which status, and what it made or changed.

    `whole` is the answer itself, where a version before this one kept it.
    """

    fingerprint: str
    status: int
    made_id: str
    whole: str = ""


class IdempotencyStore:
    """The records. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        client = client or connect(settings)
        self._scripts = Scripts(client, settings.redis_prefix)
        self._admission = Admission(settings, client)

    def reserve(self, name: str, owner: str, token: str, resource_id: str) -> Held | Answered | None:
        """Take a key of an owner's, or renew the hold that the token has on it; None while another request holds it.

        Raises RecordsQuotaError where there would be a record more.
        """
        times = (int(LEASE_SECONDS * 1000), KEEP_SECONDS * 1000)
        outcome, *rest = self._scripts.run(
            "idempotency/reserve", name, token, resource_id, *times, owner, self._admission.repetition_limit()
        )
        self._admission.demand(outcome)
        if outcome == "answered":
            fingerprint, made, whole = rest
            status, _, made_id = made.partition(" ")
            return Answered(fingerprint, int(status or 0), made_id, whole)
        return Held(*rest) if outcome == "held" else None

    def seal(self, name: str, fingerprint: str) -> bool:
        """Tie a key to what its request asks for; False when it is tied to something else."""
        return bool(self._scripts.run("idempotency/seal", name, fingerprint))

    def answer(self, name: str, status: int, made_id: str) -> None:
        """Keep how a key's request was answered."""
        self._scripts.run("idempotency/store_answer", name, f"{status} {made_id}", KEEP_SECONDS * 1000)

    def release(self, name: str, owner: str, token: str, *, forget: bool) -> None:
        """Let go of a key without an answer; `forget` when its request made nothing, so that it may be corrected."""
        self._scripts.run("idempotency/release", name, token, int(forget), owner)
