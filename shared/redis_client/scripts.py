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

ALLOW_OOM = "#!lua flags=allow-oom\n"


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


def _source(name: str) -> str:
    folder = resources.files("shared.redis_client") / "lua"
    parts = (*PARTS.get(name, COMMON_PARTS), name)
    text = "".join((folder / f"{part}.lua").read_text() for part in parts)
    return text if name in ADMITTING else ALLOW_OOM + text
