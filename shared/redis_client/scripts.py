"""Runs the Lua scripts in the folder lua/ by their names, with arguments by name.

A script's head declares its arguments; lua/README.md shows the form. The loader reads the declarations, replaces the
script's `-- include` lines by the libraries, and begins the script with a local variable for each argument.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import redis
from redis.commands.core import Script as RegisteredScript
from redis.exceptions import NoScriptError

from shared.redis_client.connection import guarded

ADMITTING = frozenset(
    {
        "jobs/submit",
        "jobs/retry",
        "uploads/add",
        "batches/create",
        "batch_items/append",
        "batches/begin_retry_or_rerun",
        "batches/restore",
        "jobs/restore",
    }
)
"""Scripts that accept something new. Redis refuses them when it has reached its `maxmemory`. All other scripts
continue or end accepted work, which frees memory; they may exceed the limit, and memory.py keeps a reserve for them."""

ALLOW_OOM = "#!lua flags=allow-oom\n"

KINDS = {
    "text": "ARGV[{}]",
    "number": "tonumber(ARGV[{}])",
    "flag": "ARGV[{}] == '1'",
    "list": "cjson.decode(ARGV[{}])",
}
"""The kinds of arguments, and how the script reads each. A list arrives as a table of texts."""

ARGUMENTS = re.compile(r"^-- Arguments:\n((?:--   .*\n)+)", re.MULTILINE)
ARGUMENT = re.compile(rf"--   (?P<name>[a-z]\w*): (?P<kind>{'|'.join(KINDS)})(?:, .+)?")
INCLUDE = re.compile(r"^-- include (\S+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Script:
    """A script as Redis gets it, and the kinds of its arguments by name, in the order in which they are sent."""

    name: str
    text: str
    arguments: Mapping[str, str]

    def values(self, given: Mapping[str, object]) -> list[str]:
        """Return the arguments as they are sent. Raises TypeError unless exactly the declared ones are given."""
        if given.keys() != self.arguments.keys():
            missing, unknown = self.arguments.keys() - given.keys(), given.keys() - self.arguments.keys()
            raise TypeError(f"{self.name}.lua: missing arguments {sorted(missing)}, unknown {sorted(unknown)}")
        return [_encode(kind, given[name]) for name, kind in self.arguments.items()]


class Scripts:
    """Runs the Lua scripts by their names, such as `attempts/claim`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._registered: dict[str, RegisteredScript] = {}

    def run(self, name: str, /, **arguments: object) -> Any:
        """Run the script `name` with the arguments that it declares; None is sent as an empty string.

        Raises StoreUnavailableError, StoreFullError; TypeError if an argument is missing or unknown.
        """
        script = load(name)
        values = script.values(arguments)
        registered = self._registered.get(name)
        if registered is None:
            registered = self._registered[name] = self._client.register_script(script.text)
        return guarded(lambda: self._evaluate(registered, values))

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

    def _evaluate(self, script: RegisteredScript, values: list[str]) -> Any:
        try:
            # `evalsha` does the same with more overhead, which polls would notice.
            return self._client.execute_command("EVALSHA", script.sha, 1, self._prefix, *values)  # type: ignore[no-untyped-call]
        except NoScriptError:
            # A restarted server has lost its scripts; this call sends the text again.
            return script(keys=[self._prefix], args=values)


@cache
def load(name: str) -> Script:
    """Return a script with its libraries, by its path below lua/ without `.lua`."""
    source = _read(name)
    arguments = declared_arguments(name, source)
    values = (KINDS[kind].format(position) for position, kind in enumerate(arguments.values(), 1))
    assignment = f"local {', '.join(arguments)} = {', '.join(values)}\n"
    flags = "" if name in ADMITTING else ALLOW_OOM
    return Script(name, flags + assignment + _with_libraries(source, set()), arguments)


def declared_arguments(name: str, source: str) -> dict[str, str]:
    """Return the kinds of the arguments that a script declares, by name. Raises ValueError if its head is malformed."""
    block = ARGUMENTS.search(source)
    if block is None:
        raise ValueError(f"{name}.lua declares no arguments")
    arguments: dict[str, str] = {}
    for line in block[1].splitlines():
        argument = ARGUMENT.fullmatch(line)
        if argument is None or argument["name"] in arguments:
            raise ValueError(f"{name}.lua: this line declares no argument: {line}")
        arguments[argument["name"]] = argument["kind"]
    return arguments


def _with_libraries(source: str, included: set[str]) -> str:
    """Replace the `-- include` lines by the libraries, which may include others. Each is included once."""

    def library(line: re.Match[str]) -> str:
        if line[1] in included:
            return ""
        included.add(line[1])
        return _with_libraries(_read(line[1]), included)

    return INCLUDE.sub(library, source)


def _read(name: str) -> str:
    return (resources.files("shared.redis_client") / "lua" / f"{name}.lua").read_text()


def _encode(kind: str, value: object) -> str:
    if kind == "flag":
        return "1" if value else "0"
    if kind == "list":
        return json.dumps([str(element) for element in value], ensure_ascii=False)  # type: ignore[attr-defined]
    return "" if value is None else str(value)
