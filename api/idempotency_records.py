"""The records of Idempotency-Keys in Redis: which request holds a key, what it asked for, how it was answered.

api/routes/idempotency.py decides which requests are the same and how a repetition is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis

from shared.jobs.limits import Admission
from shared.redis_client.connection import connect
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

KEEP_SECONDS = 24 * 3600
"""How long a record is kept. Raising it makes later repetitions safe; a record takes about 0.4 kB. The hours over which
an owner's records are counted (lua/lib/record_bytes.lua) must match."""

LEASE_SECONDS = 20.0
"""The lease of a request on its key. Lowering it lets a repetition proceed sooner after a crash."""


@dataclass(frozen=True)
class Held:
    """This request holds the key. It creates its resource as `resource_id`, which a crashed request may have used."""

    resource_id: str


@dataclass(frozen=True)
class Answered:
    """The key's request was answered: with this status, and it created or changed `made_id`.

    `whole` is the complete response, in records of earlier versions of this program.
    """

    fingerprint: str
    status: int
    made_id: str
    whole: str = ""


class IdempotencyStore:
    """Reads and writes the records. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        client = client or connect(settings)
        self._scripts = Scripts(client, settings.redis_prefix)
        self._admission = Admission(settings, client)

    def reserve_key(self, name: str, owner: str, token: str, resource_id: str) -> Held | Answered | None:
        """Take an owner's key, or renew the token's lease on it; return None while another request holds it.

        Raises RecordsQuotaError if the owner may not have another record.
        """
        outcome, *rest = self._scripts.run(
            "idempotency/reserve",
            name=name,
            token=token,
            new_id=resource_id,
            lease_ms=int(LEASE_SECONDS * 1000),
            keep_ms=KEEP_SECONDS * 1000,
            owner=owner,
            max_owner_record_bytes=self._admission.repetition_limit(),
        )
        self._admission.raise_if_refused(outcome)
        if outcome == "answered":
            fingerprint, made, whole = rest
            status, _, made_id = made.partition(" ")
            return Answered(fingerprint, int(status or 0), made_id, whole)
        return Held(*rest) if outcome == "held" else None

    def record_request(self, name: str, fingerprint: str) -> bool:
        """Store what a key's request asks for; return False if the key was used with a different request."""
        return bool(self._scripts.run("idempotency/seal", name=name, fingerprint=fingerprint))

    def record_answer(self, name: str, status: int, made_id: str) -> None:
        """Store how a key's request was answered."""
        self._scripts.run(
            "idempotency/store_answer", name=name, made=f"{status} {made_id}", keep_ms=KEEP_SECONDS * 1000
        )

    def release_key(self, name: str, owner: str, token: str, *, forget: bool) -> None:
        """Release a key without an answer; `forget` the request if it had no effect, so that it can be corrected."""
        self._scripts.run("idempotency/release", name=name, token=token, forget=forget, owner=owner)
