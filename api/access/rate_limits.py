"""Limits the requests per minute of each API key, over all processes, and sends the RateLimit headers.

Each process takes permits from Redis in small lots, so that few requests need a call to Redis. While Redis is
unavailable each process counts alone.
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
"""How many lots a minute's permits are divided into. Raising it calls Redis more often; lowering it leaves more permits
unused in idle processes."""

WINDOW_SECONDS = 60

MAX_KEYS = 10_000
"""How many keys a process counts; beyond it, all counts of the process are reset."""

LOCKS = 64
"""How many locks the keys share, so that a call to Redis for one key delays few others."""


@dataclass
class _Lot:
    """The permits that this process holds; `handed_out` counts those of all processes."""

    permits: int
    handed_out: int
    until: float


@dataclass(frozen=True)
class Allowance:
    """How many requests a key may still make, and in how many seconds its minute ends."""

    remaining: int
    seconds: int


class RateLimits:
    """The request counts of one process."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self.limit = settings.max_requests_per_minute
        self._scripts = Scripts(client, settings.redis_prefix)
        self._lots: dict[str, _Lot] = {}
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def admit(self, key_id: str) -> Allowance:
        """Count a request. Raises RateLimitedError if the minute's requests are used up."""
        with self._locks[hash(key_id) % LOCKS]:
            lot = self._lots.get(key_id)
            if lot is None or time.monotonic() >= lot.until or (not lot.permits and lot.handed_out < self.limit):
                lot = self._take_permits(key_id)
            seconds = max(1, math.ceil(lot.until - time.monotonic()))
            if not lot.permits:
                raise RateLimitedError(
                    f"This API key has reached its limit of {self.limit} requests per minute.", seconds
                )
            lot.permits -= 1
            return Allowance(self.limit - lot.handed_out + lot.permits, seconds)

    def _take_permits(self, key_id: str) -> _Lot:
        try:
            granted, handed_out, left_ms = self._scripts.run(
                "access/take_request_permits",
                key_id=key_id,
                limit=self.limit,
                wanted=max(1, self.limit // LOTS),
            )
            lot = _Lot(int(granted), int(handed_out), time.monotonic() + int(left_ms) / 1000)
        except StoreUnavailableError as error:
            log.warning("rate limits counted per process, Redis unavailable", error=error.message)
            lot = _Lot(self.limit, self.limit, time.monotonic() + WINDOW_SECONDS)
        if len(self._lots) >= MAX_KEYS:
            self._lots.clear()
        self._lots[key_id] = lot
        return lot


def register_rate_limits(app: Flask, limits: RateLimits) -> None:
    """Count the requests of API keys. Register it after authentication. Requests without a key are not limited."""
    if not limits.limit:
        return

    @app.before_request
    def count() -> None:
        caller: Caller | None = g.get("caller")
        if caller and caller.key_id:
            g.allowance = limits.admit(caller.key_id)

    @app.after_request
    def add_headers(response: Response) -> Response:
        allowance: Allowance | None = g.get("allowance")
        if allowance:
            response.headers["RateLimit-Policy"] = f'"requests";q={limits.limit};w={WINDOW_SECONDS}'
            response.headers["RateLimit"] = f'"requests";r={allowance.remaining};t={allowance.seconds}'
        return response
