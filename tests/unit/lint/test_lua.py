"""The linter of the Lua scripts finds each kind of mistake, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lint import lua
from tests.lint.lua import LuaFiles
from tests.lint.lua_names import check_names

SCRIPT = """-- Says something about a job.
-- Arguments:
--   job_id: text, the job
-- Returns: the job
-- include lib/example
return example(job_id)
"""

LIBRARY = "-- An example.\nlocal function example(id) return id end\n"


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("return nowhere", "1: `nowhere` is not defined"),
        ("return ARGV[1]", "1: `ARGV` is not defined"),
        ("local t = {}\nt.x = nowhere.x\nreturn t", "2: `nowhere` is not defined"),
        ("return {nowhere}", "1: `nowhere` is not defined"),
        ("do local x = 1 end\nreturn x", "1: `x` is never read; 2: `x` is not defined"),
        ("for i = 1, 2 do redis.call('DEL', i) end\nreturn i", "2: `i` is not defined"),
        ("return redis.cal('GET')", "1: `redis` has no member `cal` that scripts may use"),
        ("local x = 1", "1: `x` is never read"),
        ("local x\nx = 1", "1: `x` is never read"),
        ("local function f(x) return 1 end\nreturn f()", "1: `x` is never read"),
        ("for i, x in pairs({}) do redis.call('DEL', i) end", "1: `x` is never read"),
        ("x = 1", "1: `x` is assigned, and is no local of this file"),
        ("tonumber = 1", "1: `tonumber` is assigned, and is no local of this file"),
        ("function f() return 1 end", "1: function `f` is global"),
        ("local x = 1\nif x then local x = 2 return x end", "2: `x` hides another name"),
        ("local x = 1\nlocal x = 2\nreturn x", "2: `x` hides another name"),
        ("local type = 1\nreturn type", "1: `type` hides another name"),
        ("local function f(given) return given end\nreturn f", "1: `given` hides another name"),
        ("error('x')\nredis.call('PING')", "2: this code is never reached"),
        ("if given then return 1 else return 2 end\nreturn 3", "2: this code is never reached"),
        ("do return 1 end\nreturn 2", "2: this code is never reached"),
        ("local x = = 1", "1: syntax error"),
        ("if given then", "1: syntax error"),
    ],
)
def test_a_mistake_in_a_file_is_found(code: str, finding: str) -> None:
    names = check_names(code, {"given": 0})
    if not names.findings:
        unread = [
            (local.line, f"`{name}` is never read") for name, local in names.top_level.items() if not local.is_read
        ]
        names.findings.extend(unread)
    assert "; ".join(f"{line}: {message}" for line, message in sorted(names.findings)) == finding


@pytest.mark.parametrize(
    "code",
    [
        "local a, _, b = unpack(given)\nreturn {a = a, [b] = b.a, given:find('x')}",
        "local n = 0\nwhile n < 3 do n = n + 1 end\nrepeat local m = n until m > 2\nreturn n",
        "local function f(x, ...) if x then return f(x - 1) elseif given then return ... end return x end\nreturn f",
        "for _, x in ipairs(given) do if x then break end end",
        "for i = 1, #given do given[i] = function(x) return x + i end end",
        "if given then return 1 end\nreturn 2",
    ],
)
def test_correct_code_has_no_findings(code: str) -> None:
    assert check_names(code, {"given": 0}).findings == []


def findings(folder: Path, script: str = SCRIPT, **libraries: str) -> list[str]:
    """Return the findings in a folder with one script and its library."""
    for name, text in {"jobs/read": script, "lib/example": LIBRARY}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.lua").write_text(text)
    for name, text in libraries.items():
        (folder / "lib" / f"{name}.lua").write_text(text)
    return sorted(map(str, LuaFiles(folder).findings()))


def test_correct_files_have_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path) == []


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        ("example(job_id)", "example(1)", "1: the argument `job_id` is never read"),
        ("--   job_id: text, the job\n", "", "1: jobs/read.lua declares no arguments"),
        ("job_id: text", "job_id: string", "1: jobs/read.lua: this line declares no argument"),
        ("--   job_id", "--   other: text\n--   job_id", "1: the argument `other` is never read"),
        ("job_id: text", "example: text", "1: the argument `example` has the name of something in lib/example"),
        ("-- Returns: ", "-- ", "1: there is no line `-- Returns"),
        ("-- Says", "Says", "1: the first line does not say"),
        ("lib/example", "lib/none", "5: there is no library lib/none"),
        ("-- include lib/example\n", "", "5: `example` is not defined"),
        ("return example(job_id)", "return job_id", "5: nothing of lib/example is used here"),
        ("-- include", "local x = example(1)\nif x then return x end\n-- include", "5: `example` is read before"),
        ("return example", f"-- {'x' * 120}\nreturn example", "6: longer than 120 columns"),
    ],
)
def test_a_mistake_in_a_script_is_found(tmp_path: Path, before: str, after: str, finding: str) -> None:
    assert before in SCRIPT
    found = findings(tmp_path, SCRIPT.replace(before, after))
    assert [one for one in found if one.startswith(f"jobs/read.lua:{finding}")]


@pytest.mark.parametrize(
    ("library", "finding"),
    [
        ("local function other() return 1 end\n", "2: `other` is never read"),
        ("local function example() return 1 end\n", "1: lib/example has the name `example` too"),
        ("local function other() return job_id end\n", "2: `job_id` is not defined"),
        ("local function other() return example(1) end\n", "2: `example` is not defined"),
    ],
)
def test_a_mistake_in_a_library_is_found(tmp_path: Path, library: str, finding: str) -> None:
    found = findings(tmp_path, other=f"-- Another library.\n{library}")
    assert [one for one in found if one.startswith(f"lib/other.lua:{finding}")]


def test_the_example_in_the_readme_is_correct() -> None:
    files = LuaFiles(lua.FOLDER)
    (example,) = re.findall(r"```lua\n(.*?)```", (lua.FOLDER / "README.md").read_text(), re.DOTALL)
    files.texts["jobs/example"] = example
    assert list(files.findings()) == []


def test_make_lint_fails_for_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lua.main() == 0
    assert findings(tmp_path, SCRIPT.replace("return", "x = 1\nreturn"))
    monkeypatch.setattr(lua, "FOLDER", tmp_path)
    assert lua.main() == 1
