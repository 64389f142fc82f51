"""Creates, lists, revokes and looks up API keys.

Redis stores only a digest of each key. api/access/authentication.py reads the key from a request.

    sq_<id>_<secret>     the key; its id is not secret, and lists and logs show it
    key:<id>  hash       digest, owner, scopes, label, created_ms
    keys      zset       ids by time of creation
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from shared.redis_client.connection import connect, guarded
from shared.settings import Settings

SCOPES: Mapping[str, str] = {
    "submit": "upload; create, cancel, retry and delete jobs",
    "read": "read jobs and their outputs",
    "metrics": "read `/metrics` and nothing else, for Prometheus",
    "admin": "all of that, for the jobs of every owner",
}

CACHE_SECONDS = 2.0
"""How long a process trusts a key that it has looked up, so that a poll stays one call to Redis; a revoked key works
for this much longer. Streams and waits notice it within `SUBSCRIBED_SECONDS` more (job_change_feed.py); 5 s are
promised."""

CACHE_KEYS = 10_000
"""Keys that a process caches. When the cache is full, it is emptied."""

SECRET_BYTES = 32

FORM = re.compile(r"sq_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")

OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The form of an owner's name. It is part of keys in Redis, so it must not contain a colon."""

RESERVED_OWNERS = frozenset({"live", "settled"})
"""No owners: `batches:<owner>` would be an index of the batches of all owners (lua/lib/keys.lua)."""


RECORD_FIELDS = ("digest", "owner", "scopes", "label", "created_ms")
"""The fields of a key's record."""


@dataclass(frozen=True)
class ApiKey:
    """A key's record."""

    id: str
    owner: str
    scopes: frozenset[str]
    label: str
    created_at: float


class ApiKeys:
    """The keys' records in Redis. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._cache: dict[bytes, tuple[float, ApiKey]] = {}

    def create(self, *, owner: str, scopes: Iterable[str], label: str = "") -> tuple[ApiKey, str]:
        """Create a key; return its record and its text, which cannot be recovered later. Raises ValueError."""
        wanted = frozenset(scopes)
        if not OWNER.fullmatch(owner):
            raise ValueError("An owner's name consists of letters, digits, '.', '_' and '-', 64 characters at most.")
        if owner in RESERVED_OWNERS:
            raise ValueError(f"No owner can be called {owner!r}: that name is reserved.")
        if not wanted or wanted - set(SCOPES):
            raise ValueError(f"Give the key one or more of the scopes {', '.join(SCOPES)}.")
        key_id = secrets.token_hex(6)
        text = f"sq_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        key = ApiKey(key_id, owner, wanted, label, guarded(self._redis.time)[0])
        record = {
            "digest": _digest(text).hex(),
            "owner": owner,
            "scopes": ",".join(sorted(wanted)),
            "label": label,
            "created_ms": str(int(key.created_at * 1000)),
        }
        pipeline = self._redis.pipeline()
        pipeline.hset(self._name(key_id), mapping=cast("dict[Any, Any]", record))
        pipeline.zadd(f"{self._prefix}keys", {key_id: int(key.created_at * 1000)})
        guarded(pipeline.execute)
        return key, text

    def list(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        return [_key(key_id, record) for key_id, record in self._records()]

    def revoke(self, key_id: str) -> bool:
        """Revoke a key; False if there is none with this id. Processes may cache it for CACHE_SECONDS more."""
        pipeline = self._redis.pipeline()
        pipeline.delete(self._name(key_id))
        pipeline.zrem(f"{self._prefix}keys", key_id)
        return bool(guarded(pipeline.execute)[0])

    def export(self) -> Iterator[dict[str, str]]:
        """Yield all keys, oldest first, in the form that `restore` takes. It has digests, from which no key follows."""
        for key_id, record in self._records():
            yield {"id": key_id, **{name: record[name] for name in RECORD_FIELDS}}

    def restore(self, exported: object) -> bool:
        """Restore a key as `export` gave it; False if there is a key with this id. Raises ValueError."""
        record = _checked(exported)
        name, created_ms = self._name(record["id"]), int(record["created_ms"])
        if guarded(lambda: self._redis.exists(name)):
            return False
        pipeline = self._redis.pipeline()
        pipeline.hset(name, mapping={field: record[field] for field in RECORD_FIELDS})
        pipeline.zadd(f"{self._prefix}keys", {record["id"]: created_ms})
        guarded(pipeline.execute)
        return True

    def find(self, text: str) -> ApiKey | None:
        """Return the record of the key with this text, or None."""
        form = FORM.fullmatch(text)
        if form is None:
            return None
        digest = _digest(text)
        until, known = self._cache.get(digest, (0.0, None))
        if time.monotonic() < until:
            return known
        record = cast("dict[str, str]", guarded(lambda: self._redis.hgetall(self._name(form[1]))))
        if not record or not hmac.compare_digest(bytes.fromhex(record["digest"]), digest):
            self._cache.pop(digest, None)
            return None
        if record["owner"] in RESERVED_OWNERS:
            # An earlier version created the key. Its batches would be those of all owners.
            return None
        if len(self._cache) >= CACHE_KEYS:
            self._cache.clear()
        key = _key(form[1], record)
        self._cache[digest] = (time.monotonic() + CACHE_SECONDS, key)
        return key

    def _records(self) -> Sequence[tuple[str, Mapping[str, str]]]:
        """Return the id and the record of each key, oldest first."""
        ids = cast("list[str]", guarded(lambda: self._redis.zrange(f"{self._prefix}keys", 0, -1)))
        pipeline = self._redis.pipeline(transaction=False)
        for key_id in ids:
            pipeline.hgetall(self._name(key_id))
        records = cast("list[dict[str, str]]", guarded(pipeline.execute))
        return [(key_id, record) for key_id, record in zip(ids, records, strict=True) if record]

    def _name(self, key_id: str) -> str:
        return f"{self._prefix}key:{key_id}"


def _checked(exported: object) -> dict[str, str]:
    """Return an exported key if it has the form that `create` gives keys. Raises ValueError."""
    fields = ("id", *RECORD_FIELDS)
    if not isinstance(exported, dict) or not all(isinstance(exported.get(name), str) for name in fields):
        raise ValueError(f"An exported key must have the fields {', '.join(fields)}, and all values must be strings.")
    record = {name: exported[name] for name in fields}
    scopes = set(record["scopes"].split(","))
    if (
        not re.fullmatch(r"[0-9a-f]{12}", record["id"])
        or not re.fullmatch(r"[0-9a-f]{64}", record["digest"])
        or not OWNER.fullmatch(record["owner"])
        or record["owner"] in RESERVED_OWNERS
        or not re.fullmatch(r"[0-9]{1,15}", record["created_ms"])
        or scopes - set(SCOPES)
    ):
        raise ValueError(f"The exported key {record['id'][:20]!r} has a value that no key can have.")
    return record


def _digest(text: str) -> bytes:
    # A slow hash is not needed: 256 random bits cannot be guessed.
    return hashlib.sha256(text.encode()).digest()


def _key(key_id: str, record: Mapping[str, str]) -> ApiKey:
    scopes = frozenset(record["scopes"].split(","))
    return ApiKey(key_id, record["owner"], scopes, record["label"], int(record["created_ms"]) / 1000)
