"""How many requests a key may make in a minute, counted over all processes.

Owns the count in this process and the RateLimit headers. Each process takes permits from Redis in small lots, so that
a request seldom costs a call of its own; while Redis is away each process counts by itself.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

import redis
import structlog
from flask import Flask, Response, g

from api.access.authentication import Caller
from api.contract.errors import RateLimitedError
from shared.errors import StoreUnavailableError
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

log = structlog.get_logger(__name__)

LOTS = 50
"""Into how many lots a minute's permits are cut. Raising it asks Redis more often; lowering it strands more permits in
processes that do not use theirs."""

WINDOW_SECONDS = 60

MAX_KEYS = 10_000
"""Keys that a process counts for; past it, it begins anew."""

LOCKS = 64
"""Keys share so many locks: while Redis is asked for one key's permits, few others wait."""


@dataclass
class _Lot:
    """Permits that this process holds; `handed_out` counts those of all processes."""

    permits: int
    handed_out: int
    until: float


@dataclass(frozen=True)
class Standing:
    """Where a key stands: what it may still do, and for how long that counts."""

    remaining: int
    seconds: int


class RateLimits:
    """The counts of one process."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self.limit = settings.max_requests_per_minute
        self._scripts = Scripts(client, settings.redis_prefix)
        self._lots: dict[str, _Lot] = {}
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def admit(self, key_id: str) -> Standing:
        """Count a request. Raises RateLimitedError when the minute's are used up."""
        with self._locks[hash(key_id) % LOCKS]:
            lot = self._lots.get(key_id)
            if lot is None or time.monotonic() >= lot.until or (not lot.permits and lot.handed_out < self.limit):
                lot = self._take(key_id)
            seconds = max(1, math.ceil(lot.until - time.monotonic()))
            if not lot.permits:
                raise RateLimitedError(f"This key may make {self.limit} requests a minute.", seconds)
            lot.permits -= 1
            return Standing(self.limit - lot.handed_out + lot.permits, seconds)

    def _take(self, key_id: str) -> _Lot:
        try:
            granted, handed_out, left_ms = self._scripts.run(
                "access/take_request_permits", key_id, self.limit, max(1, self.limit // LOTS)
            )
            lot = _Lot(int(granted), int(handed_out), time.monotonic() + int(left_ms) / 1000)
        except StoreUnavailableError as error:
            log.warning("requests counted by each process alone", error=error.message)
            lot = _Lot(self.limit, self.limit, time.monotonic() + WINDOW_SECONDS)
        if len(self._lots) >= MAX_KEYS:
            self._lots.clear()
        self._lots[key_id] = lot
        return lot


def register_rate_limits(app: Flask, limits: RateLimits) -> None:
    """Count the requests of keys. Register it after the callers; programs of this machine, without a key, may."""
    if not limits.limit:
        return

    @app.before_request
    def count() -> None:
        caller: Caller | None = g.get("caller")
        if caller and caller.key_id:
            g.standing = limits.admit(caller.key_id)

    @app.after_request
    def tell(response: Response) -> Response:
        standing: Standing | None = g.get("standing")
        if standing:
            response.headers["RateLimit-Policy"] = f'"requests";q={limits.limit};w={WINDOW_SECONDS}'
            response.headers["RateLimit"] = f'"requests";r={standing.remaining};t={standing.seconds}'
        return response
