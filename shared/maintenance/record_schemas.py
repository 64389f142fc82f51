"""Finds the records in Redis that a newer version wrote, which this version can neither run nor show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import redis

from shared.parsing.stored_records import SCHEMA_VERSION
from shared.redis_client.connection import connect, guarded
from shared.settings import Settings

RECORDS_AT_ONCE = 1000
"""Records that Redis reads in one call. Raising it blocks Redis for longer."""

KINDS = ("job", "batch")


@dataclass(frozen=True)
class NewerRecord:
    """A record whose schema this version does not know. `kind` is job or batch."""

    kind: str
    id: str
    schema: int
    state: str


class RecordSchemas:
    """Reads the schema of every record of a job or batch. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix

    def newer(self) -> Iterator[NewerRecord]:
        """Yield the records of newer schemas, in no order."""
        for kind in KINDS:
            names = self._names(f"{self._prefix}{kind}:")
            for first in range(0, len(names), RECORDS_AT_ONCE):
                yield from self._newer_of(kind, names[first : first + RECORDS_AT_ONCE])

    def _names(self, start: str) -> list[str]:
        """Return the names of the records that begin so. Further keys of a batch have names that go on after its id."""
        found = guarded(lambda: list(self._redis.scan_iter(f"{start}*", RECORDS_AT_ONCE, _type="hash")))
        return [name for name in found if ":" not in name.removeprefix(start)]

    def _newer_of(self, kind: str, names: list[str]) -> Iterator[NewerRecord]:
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(name, ["schema", "state"])
        for name, (schema, state) in zip(names, guarded(pipeline.execute), strict=True):
            if int(schema or 1) > SCHEMA_VERSION:
                yield NewerRecord(kind, name.rpartition(":")[2], int(schema), state or "")
