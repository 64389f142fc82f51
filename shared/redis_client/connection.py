"""Connects to Redis, for our own calls and for Celery's.

Calls fail within a bounded time, as `StoreUnavailableError` or `StoreFullError`. redis_address.py reads REDIS_URL;
scripts.py runs the Lua scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from shared.errors import StoreFullError, StoreUnavailableError
from shared.redis_address import RedisAddress
from shared.settings import Settings

T = TypeVar("T")

MAX_CONNECTIONS = 2**31 - 1
"""No limit: a process opens as many as it has threads that call Redis at the same moment. redis-py would refuse calls
past 100 connections, which a burst of one client's requests reaches, and the calls of all others would fail as well."""


def connect(settings: Settings) -> redis.Redis:
    """Return a client whose calls fail within `redis_timeout_seconds`; nothing is sent yet.

    redis-py's default retries hold a refused call for 3.8 s, so they are off; callers decide themselves what to do.
    """
    address = RedisAddress.parse(settings.redis_url)
    tls = _tls(settings, address)
    options: dict[str, Any] = {
        **_time_limits(settings),
        **({"ssl": True, **tls} if tls else {}),
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "decode_responses": True,
    }
    if not address.has_sentinels:
        host, port = address.hosts[0]
        return redis.Redis(host=host, port=port, **options)
    sentinels = Sentinel(address.hosts, sentinel_kwargs=_sentinel_options(settings, tls), **options)
    client: redis.Redis = sentinels.master_for(settings.redis_sentinel_master)
    return client


def broker_options(settings: Settings, **transport: object) -> dict[str, Any]:
    """Return the Celery settings for the same Redis. `transport` is added to its transport options."""
    address = RedisAddress.parse(settings.redis_url)
    tls = _tls(settings, address)
    options: dict[str, object] = {"global_keyprefix": settings.redis_prefix, "socket_keepalive": True, **transport}
    if address.has_sentinels:
        options["master_name"] = settings.redis_sentinel_master
        options["sentinel_kwargs"] = _sentinel_options(settings, tls)
    return {"broker_url": address.broker_url(), "broker_use_ssl": tls, "broker_transport_options": options}


def _tls(settings: Settings, address: RedisAddress) -> dict[str, Any] | None:
    if address.tls is None:
        return None
    named = {"ssl_ca_certs": str(settings.redis_ca_file)} if settings.redis_ca_file else {}
    return {**named, **address.tls}


def _sentinel_options(settings: Settings, tls: dict[str, Any] | None) -> dict[str, Any]:
    login = {"username": settings.redis_sentinel_username, "password": settings.redis_sentinel_password}
    return {**_time_limits(settings), **login, **({"ssl": True, **tls} if tls else {})}


def _time_limits(settings: Settings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.redis_timeout_seconds,
        "socket_connect_timeout": settings.redis_timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": MAX_CONNECTIONS,
    }


def guarded(call: Callable[[], T]) -> T:
    """Call Redis and return the answer. Raises StoreFullError, StoreUnavailableError.

    A lost connection is retried once, because the server may have closed it while it was idle in the pool. Scripts
    are atomic and check fences, so running one twice has the effect of running it once.
    """
    try:
        try:
            return call()
        except redis.ConnectionError as error:
            if isinstance(error, redis.TimeoutError):
                raise
            return call()
    except redis.OutOfMemoryError as error:
        raise StoreFullError("Redis has reached its maxmemory and accepts no new records.") from error
    except redis.RedisError as error:
        raise StoreUnavailableError(f"Redis is unavailable ({type(error).__name__}).") from error
