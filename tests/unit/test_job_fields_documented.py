"""The fields of a job's record in docs/job-lifecycle.md, and who writes them, are those in the Lua scripts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared.jobs.model import STAGES, JobState

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "job-lifecycle.md"
SCRIPTS = ROOT / "shared" / "redis_client" / "lua"
TABLE = re.compile(r"<!-- fields -->\n(.*?)<!-- end of fields -->", re.DOTALL)

# Where the names of fields begin among a call's arguments, and how far apart they are.
WRITES = {"HSET": (2, 2), "HINCRBY": (2, 3), "HDEL": (2, 1)}
HELPERS = {"set_job_fields": 1, "move_job": 3, "end_job": 4, "end_claim": 1}
# `create_webhook_message` gets the key of a job or of a batch.
RECORDS = ("key('job',", "record")
NAME = re.compile(r"'(\w+)'")


def arguments(text: str, opened: int) -> list[str]:
    """Return the arguments of a call, given where its bracket has been opened."""
    found, depth, begun, quoted = [], 0, opened, False
    for at in range(opened, len(text)):
        sign = text[at]
        if sign == "'":
            quoted = not quoted
        elif not quoted and sign in "([{":
            depth += 1
        elif not quoted and depth and sign in ")]}":
            depth -= 1
        elif not quoted and not depth and sign in ",)":
            found.append(text[begun:at].strip())
            begun = at + 1
            if sign == ")":
                return found
    raise AssertionError("a call has no end")


def calls(text: str, function: str) -> Iterator[list[str]]:
    for match in re.finditer(rf"(?<![\w.:]){re.escape(function)}\(", text):
        yield arguments(text, match.end())


def fields_written(text: str, *, writes_records: bool) -> Iterator[str]:
    """Yield the names of the fields of a job's hash that a script writes or removes."""
    targets = RECORDS if writes_records else RECORDS[:1]
    for command, *rest in calls(text, "redis.call"):
        name = NAME.fullmatch(command)
        if name and name[1] in WRITES and rest[0].startswith(targets):
            first, step = WRITES[name[1]]
            yield from (field[1] for each in rest[first - 1 :: step] if (field := NAME.fullmatch(each)))
    for helper, first in HELPERS.items():
        for each in calls(text, helper):
            yield from (field[1] for argument in each[first::2] if (field := NAME.fullmatch(argument)))


def written() -> Mapping[str, set[str]]:
    """Return each field of a job's hash with the scripts that write it."""
    found = defaultdict(set)
    for path in SCRIPTS.rglob("*.lua"):
        script = str(path.relative_to(SCRIPTS).with_suffix(""))
        text = re.sub(r"--[^\n]*", "", path.read_text())
        for field in fields_written(text, writes_records=script == "lib/webhooks/messages"):
            found[field].add(script)
    return found


def documented() -> Mapping[str, set[str]]:
    table = TABLE.search(PAGE.read_text())
    assert table is not None
    rows = [line.split(" | ") for line in table[1].splitlines()[2:]]
    return {row[0].strip("| `"): set(re.findall(r"`([\w/]+)`", row[2])) for row in rows}


def test_every_field_that_a_script_writes_is_documented_and_no_other() -> None:
    assert set(documented()) == set(written())


def test_every_field_names_the_scripts_that_write_it() -> None:
    assert documented() == dict(written())


def test_the_page_names_every_state_and_stage() -> None:
    text = PAGE.read_text()
    assert [name for name in (*JobState, *STAGES) if f"`{name}`" not in text] == []
