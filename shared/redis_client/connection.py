"""Connections to Redis, ours and Celery's, and the Lua scripts on it.

Owns how a call to Redis may fail: soon, and as `StoreUnavailableError`; and which scripts a full Redis runs. Owns no
meaning of any key, and not what REDIS_URL means (redis_address.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import NoScriptError
from redis.retry import Retry
from redis.sentinel import Sentinel

from shared.errors import StoreFullError, StoreUnavailableError
from shared.redis_address import RedisAddress
from shared.settings import Settings

T = TypeVar("T")

COMMON_PARTS = ("lib/keys", "lib/transitions")
"""What begins a script, in this order."""

RECORD_PARTS = ("lib/work_statistics", "lib/time_left", "lib/job_reply")

PARTS: Mapping[str, tuple[str, ...]] = {
    "jobs/read": ("lib/keys", "lib/unchanged_reply", *RECORD_PARTS),
    "batches/read": ("lib/keys",),
    **dict.fromkeys(("jobs/renew_lease", "jobs/succeed"), (*COMMON_PARTS, "lib/work_statistics")),
    **dict.fromkeys(("queue/pass_on", "jobs/better_elsewhere"), (*COMMON_PARTS, "lib/free_slots")),
    **dict.fromkeys(("jobs/submit", "jobs/cancel", "jobs/retry"), (*COMMON_PARTS, *RECORD_PARTS)),
    **dict.fromkeys(("webhooks/take_due", "webhooks/settle"), (*COMMON_PARTS, "lib/webhook_queue")),
}
"""What begins scripts that need more, or less: each run makes anew all functions that it is given."""

ADMITTING = frozenset(
    {
        "jobs/submit",
        "jobs/retry",
        "uploads/add",
        "batches/create",
        "batches/append_items",
        "batches/begin_retry_or_rerun",
        "batches/restore",
        "jobs/restore",
    }
)
"""Scripts that take something new: Redis refuses them past its `maxmemory`. All others go on with what was accepted, or
end it, and so make room: they may pass the limit, which memory.py keeps some room for."""

MAX_CONNECTIONS = 2**31 - 1
"""No limit of its own: a process has as many as it has threads that call Redis at the same moment. redis-py refuses a
call past 100, which a burst of one client's requests reaches, and everybody else's would then fail as well."""

ALLOW_OOM = "#!lua flags=allow-oom\n"


def connect(settings: Settings) -> redis.Redis:
    """Return a client whose calls fail within `redis_timeout_seconds`; nothing is sent yet.

    redis-py's default retries hold a refused call for 3.8 s; whoever calls here has a better idea of what to do next.
    """
    address = RedisAddress.parse(settings.redis_url)
    tls = _tls(settings, address)
    options: dict[str, Any] = {
        **_impatient(settings),
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
    """Return what makes Celery use the same Redis: settings of its own, `transport` among the transport's options."""
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
    return {**_impatient(settings), **login, **({"ssl": True, **tls} if tls else {})}


def _impatient(settings: Settings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.redis_timeout_seconds,
        "socket_connect_timeout": settings.redis_timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": MAX_CONNECTIONS,
    }


class Scripts:
    """The Lua scripts beside this module, each a method-like callable by its file's name."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._registered: dict[str, Script] = {}

    def run(self, name: str, *args: object) -> Any:
        """Run the script `name` with the arguments; None travels as an empty string.

        Raises StoreUnavailableError when Redis is away or hung, StoreFullError when it is full.
        """
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(_source(name))
        values = ["" if a is None else str(a) for a in args]
        return guarded(lambda: self._evaluate(script, values))

    def is_new_server(self) -> bool:
        """Return whether Redis has started, or a replica has become master, since anybody here asked for the last time.

        A server begins without scripts, and INFO, which tells its uptime, is more than our user need be allowed. Raises
        StoreUnavailableError.
        """
        marker = f"-- {self._prefix}\nreturn 1"
        sha = hashlib.sha1(marker.encode(), usedforsecurity=False).hexdigest()
        (is_known,) = guarded(lambda: self._client.script_exists(sha))
        if not is_known:
            guarded(lambda: self._client.script_load(marker))
        return not is_known

    def _evaluate(self, script: Script, values: list[str]) -> Any:
        try:
            # As `evalsha` does after some looking around, which a poll would feel.
            return self._client.execute_command("EVALSHA", script.sha, 1, self._prefix, *values)  # type: ignore[no-untyped-call]
        except NoScriptError:
            # A server that came up anew has to be told the script first.
            return script(keys=[self._prefix], args=values)


def guarded(call: Callable[[], T]) -> T:
    """Make a call to Redis; a stale connection is replaced once, any other fault is a StoreUnavailableError.

    A connection that the server closed while it lay in the pool says nothing about the server now. Scripts are
    atomic and fenced, so that sending one twice does what sending it once does.
    """
    try:
        try:
            return call()
        except redis.ConnectionError as error:
            if isinstance(error, redis.TimeoutError):
                raise
            return call()
    except redis.OutOfMemoryError as error:
        raise StoreFullError("Redis has reached its maxmemory, and takes nothing new.") from error
    except redis.RedisError as error:
        raise StoreUnavailableError(f"The queue does not answer ({type(error).__name__}).") from error


def _source(name: str) -> str:
    folder = resources.files("shared.redis_client") / "lua"
    parts = (*PARTS.get(name, COMMON_PARTS), name)
    text = "".join((folder / f"{part}.lua").read_text() for part in parts)
    return text if name in ADMITTING else ALLOW_OOM + text
