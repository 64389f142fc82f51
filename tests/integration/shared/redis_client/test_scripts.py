"""Scripts in a real server: each compiles, and arguments arrive as what their declarations say."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.redis_client import scripts
from shared.redis_client.connection import connect
from shared.redis_client.scripts import Scripts, load
from shared.settings import Settings

LUA = Path(__file__).parents[4] / "shared" / "redis_client" / "lua"
NAMES = [str(path.relative_to(LUA).with_suffix("")) for path in LUA.rglob("*.lua") if "lib" not in path.parts]

EXAMPLE = """-- Returns its arguments.
-- Arguments:
--   words: text
--   missing: text
--   count: number
--   nothing: number
--   yes: flag, with a comment: and more
--   no: flag
--   names: list
--   none: list
-- Returns: its arguments
-- include lib/clock
-- include lib/clock
-- include lib/jobs/record
-- include lib/keys
return {words, missing, type(count), count + 1, nothing == nil and 'nil', yes and 'yes', not no and 'no',
  #none, key('x', unpack(names)), type(now_ms())}
"""


def test_every_script_compiles(settings: Settings) -> None:
    client = connect(settings)
    assert len(NAMES) > 50
    for name in NAMES:
        client.script_load(load(name).text)


def test_arguments_arrive_as_their_kinds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    read = scripts._read
    monkeypatch.setattr(scripts, "_read", lambda name: EXAMPLE if name == "example" else read(name))
    answer = Scripts(connect(settings), "p:").run(
        "example",
        names=('ü\n\t\0\\"', 2),
        none=[],
        no=False,
        yes=True,
        nothing=None,
        count=41.0,
        missing=None,
        words="two words",
    )
    scripts.load.cache_clear()
    assert answer == ["two words", "", "number", 42, "nil", "yes", "no", 0, 'p:x:ü\n\t\0\\":2', "number"]


def test_each_library_is_included_once() -> None:
    assert load("jobs/submit").text.count("\nlocal function key(") == 1
    assert "-- include" not in load("jobs/submit").text
