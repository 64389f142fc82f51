"""Loads and runs the Lua scripts in the folder lua/.

Each script is put together from the parts of lua/lib/ that it needs and its own file. The scripts in ADMITTING are
refused when Redis has reached its `maxmemory`; all others may pass the limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from shared.redis_client.connection import guarded

COMMON_PARTS = ("lib/keys", "lib/transitions")
"""The parts that precede a script, in this order."""

RECORD_PARTS = ("lib/work_statistics", "lib/time_left", "lib/job_reply")

PARTS: Mapping[str, tuple[str, ...]] = {
    "jobs/read": ("lib/keys", "lib/unchanged_reply", *RECORD_PARTS),
    "batches/read": ("lib/keys",),
    **dict.fromkeys(("jobs/renew_lease", "jobs/succeed"), (*COMMON_PARTS, "lib/work_statistics")),
    **dict.fromkeys(("queue/pass_on", "jobs/better_elsewhere"), (*COMMON_PARTS, "lib/free_slots")),
    **dict.fromkeys(("jobs/submit", "jobs/cancel", "jobs/retry"), (*COMMON_PARTS, *RECORD_PARTS)),
    **dict.fromkeys(("webhooks/take_due", "webhooks/settle"), (*COMMON_PARTS, "lib/webhook_queue")),
}
"""The parts of scripts that need more or fewer of them. Each run defines all functions of its parts anew, so parts
that a script does not need would slow it down."""

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
"""Scripts that accept something new. Redis refuses them when it has reached its `maxmemory`. All other scripts
continue or end accepted work, which frees memory; they may exceed the limit, and memory.py keeps a reserve for them."""

ALLOW_OOM = "#!lua flags=allow-oom\n"


class Scripts:
    """Runs the Lua scripts by their names, such as `jobs/claim`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._registered: dict[str, Script] = {}

    def run(self, name: str, *args: object) -> Any:
        """Run the script `name` with the arguments; None is sent as an empty string.

        Raises StoreUnavailableError, StoreFullError.
        """
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(_source(name))
        values = ["" if a is None else str(a) for a in args]
        return guarded(lambda: self._evaluate(script, values))

    def is_new_server(self) -> bool:
        """Return whether Redis was restarted or failed over since any process of this deployment last asked.

        A new server has no scripts in its cache, so a marker script that is missing means a new server. INFO would
        give the uptime, but the Redis user need not be allowed to run it. Raises StoreUnavailableError.
        """
        marker = f"-- {self._prefix}\nreturn 1"
        sha = hashlib.sha1(marker.encode(), usedforsecurity=False).hexdigest()
        (is_known,) = guarded(lambda: self._client.script_exists(sha))
        if not is_known:
            guarded(lambda: self._client.script_load(marker))
        return not is_known

    def _evaluate(self, script: Script, values: list[str]) -> Any:
        try:
            # `evalsha` does the same with more overhead, which polls would notice.
            return self._client.execute_command("EVALSHA", script.sha, 1, self._prefix, *values)  # type: ignore[no-untyped-call]
        except NoScriptError:
            # A restarted server has lost its scripts; this call sends the text again.
            return script(keys=[self._prefix], args=values)


def _source(name: str) -> str:
    folder = resources.files("shared.redis_client") / "lua"
    parts = (*PARTS.get(name, COMMON_PARTS), name)
    text = "".join((folder / f"{part}.lua").read_text() for part in parts)
    return text if name in ADMITTING else ALLOW_OOM + text
