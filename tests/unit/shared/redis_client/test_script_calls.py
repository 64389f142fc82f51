"""Every call of a Lua script gives exactly the arguments that the script declares, wherever in the code it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from shared.jobs import limits
from shared.redis_client.scripts import ADMITTING, Script, declared_arguments, load

ROOT = Path(__file__).parents[4]
LUA = ROOT / "shared" / "redis_client" / "lua"
CODE = ("api", "worker", "shared", "deploy", "tests")
SCRIPTS = sorted(
    str(path.relative_to(LUA).with_suffix("")) for path in LUA.rglob("*.lua") if not path.is_relative_to(LUA / "lib")
)
FOLDERS = tuple(f"{folder.name}/" for folder in LUA.iterdir() if folder.is_dir())


def calls(source: str) -> Iterator[ast.Call]:
    """Yield every call of a script: `scripts.run(…)`, or `….run("folder/name", …)` with a folder of scripts."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="run", value=ast.Attribute(attr=name) | ast.Name(id=name))) if (
                name.removeprefix("_") == "scripts"
            ):
                yield node
            case ast.Call(func=ast.Attribute(attr="run"), args=[ast.Constant(value=str(name)), *_]) if name.startswith(
                FOLDERS
            ):
                yield node


def unpacked(value: ast.expr) -> set[str]:
    """Return the names in `**value`: what a method of Admission returns, or a constant beside it."""
    if isinstance(value, ast.IfExp):
        names, others = unpacked(value.body), unpacked(value.orelse)
        assert names == others
        return names
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return set(get_type_hints(get_type_hints(getattr(limits.Admission, value.func.attr))["return"]))
    assert isinstance(value, ast.Name), f"cannot tell the names in **{ast.unparse(value)}"
    return set(getattr(limits, value.id))


def problems(source: str) -> Iterator[str]:
    """Yield what is wrong with the calls of scripts in a Python source."""
    for call in calls(source):
        name, *positional = (a.value if isinstance(a, ast.Constant) else ast.unparse(a) for a in call.args)
        if name not in SCRIPTS:
            yield f"there is no script {name}"
            continue
        given = [keyword.arg for keyword in call.keywords if keyword.arg]
        given += [name for keyword in call.keywords if not keyword.arg for name in unpacked(keyword.value)]
        declared = load(name).arguments
        if positional or sorted(given) != sorted(declared):
            yield f"{name}: {positional} by position, {sorted(set(given) ^ set(declared))} missing or unknown"


def sources() -> Iterator[tuple[str, str]]:
    for folder in CODE:
        for path in (ROOT / folder).rglob("*.py"):
            if "node_modules" not in path.parts and path != Path(__file__):
                yield str(path.relative_to(ROOT)), path.read_text()


def test_every_call_gives_the_arguments_that_its_script_declares() -> None:
    assert [f"{path}: {problem}" for path, text in sources() for problem in problems(text)] == []


def test_every_script_is_called() -> None:
    called = {call.args[0].value for _, text in sources() for call in calls(text)}  # type: ignore[attr-defined]
    assert sorted(set(SCRIPTS) - called) == []
    assert set(SCRIPTS) > ADMITTING


@pytest.mark.parametrize(
    "call",
    [
        'scripts.run("jobs/delete")',
        'scripts.run("jobs/delete", job_id)',
        'scripts.run("jobs/delete", job_id=job_id, owner=owner)',
        'scripts.run("jobs/remove", job_id=job_id)',
        'self._scripts.run("job/delete", job_id=job_id)',
        "self._scripts.run(name, job_id=job_id)",
        'store.other.run("jobs/delete", owner=owner)',
        'scripts.run("jobs/record_room", owner=owner, **self._admission.job_limits())',
    ],
)
def test_a_call_with_other_arguments_is_found(call: str) -> None:
    assert len(list(problems(call))) == 1
    assert list(problems('scripts.run("jobs/delete", job_id=job_id)')) == []


def test_a_call_with_other_arguments_is_refused() -> None:
    script = Script("jobs/example", "", {"job_id": "text", "names": "list"})
    assert script.values({"names": ["a", 1], "job_id": None}) == ["", '["a", "1"]']
    with pytest.raises(TypeError, match=r"jobs/example.lua: missing arguments \['names'\], unknown \['name'\]"):
        script.values({"job_id": "x", "name": "a"})


@pytest.mark.parametrize(
    "head",
    [
        "-- Does something.\n",
        "-- Arguments: job_id\n",
        "-- Arguments:\n--   job_id\n",
        "-- Arguments:\n--   job_id: string\n",
        "-- Arguments:\n--   job_id: text\n--   with a second line\n",
        "-- Arguments:\n--   job_id: text\n--   job_id: text\n",
    ],
)
def test_a_script_that_does_not_declare_its_arguments_is_refused(head: str) -> None:
    with pytest.raises(ValueError, match=r"^x\.lua"):
        declared_arguments("x", head + "return 1\n")
