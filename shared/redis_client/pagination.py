"""Reads indexes of records page by page, newest first.

A cursor names the record that a page starts after. If that record was deleted, the page starts where it used to be, so
clients can delete while paging.
"""

from __future__ import annotations

from typing import Protocol, cast

import redis

from shared.redis_client.connection import guarded

CURSOR = r"^[0-9a-f]{32}(-[0-9]{1,15})?$"
"""The form of a cursor: a record's id and its creation time. Without the time, the record must still exist."""


class Listed(Protocol):
    """A record that an index lists: a job or a batch."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def created_at(self) -> float:
        """When it was created, in seconds since 1970."""


def cursor_of(record: Listed) -> str:
    """Return the cursor for the page that follows this record."""
    return f"{record.id}-{round(record.created_at * 1000)}"


def ids_after(client: redis.Redis, index: str, cursor: str | None, limit: int) -> tuple[list[str], bool] | None:
    """Return ids and whether there are more; None if the cursor's record is unknown. Raises StoreUnavailableError."""
    start = 0 if cursor is None else _place_after(client, index, cursor)
    if start is None:
        return None
    ids = cast("list[str]", guarded(lambda: client.zrevrange(index, start, start + limit)))
    return ids[:limit], len(ids) > limit


def _place_after(client: redis.Redis, index: str, cursor: str) -> int | None:
    record_id, _, made = cursor.partition("-")
    rank = cast("int | None", guarded(lambda: client.zrevrank(index, record_id)))
    if rank is not None:
        return rank + 1
    if not made:
        return None
    newer = guarded(lambda: client.zcount(index, f"({made}", "+inf"))
    same = cast("list[str]", guarded(lambda: client.zrangebyscore(index, made, made)))
    return newer + sum(other > record_id for other in same)
