"""A class name belongs to one module, so that a search for it leads to one class."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "worker", "shared", "deploy")

EXCEPTIONS: Mapping[str, str] = {
    "Batch": "public name of the Python client: the batch that a call returns; shared/batches/model.py has the record",
    "Excerpt": "public name of the Python client: an argument; shared/jobs/options.py has the field of the request",
    "Job": "public name of the Python client: the job that a call returns; shared/jobs/model.py has the record",
}
"""The class names that stand in two modules, and why."""


def modules_by_class(root: Path) -> dict[str, set[str]]:
    """Return the modules below the packages in which each class is defined, also inside of functions."""
    found = defaultdict(set)
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            if "node_modules" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found[node.name].add(str(path.relative_to(root)))
    return found


def test_a_class_name_stands_in_one_module_only() -> None:
    twice = {name: sorted(modules) for name, modules in modules_by_class(ROOT).items() if len(modules) > 1}
    assert {name: modules for name, modules in twice.items() if name not in EXCEPTIONS} == {}
    assert sorted(EXCEPTIONS.keys() - twice.keys()) == [], "these exceptions are no longer needed"


def test_an_exception_is_a_name_of_the_client() -> None:
    found = modules_by_class(ROOT)
    assert [name for name in EXCEPTIONS if not any(m.startswith("api/client/") for m in found[name])] == []


def test_a_name_that_stands_twice_is_found(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "api/a.py").write_text("class Twice: ...\nclass Once: ...\n")
    (tmp_path / "shared/b.py").write_text("def make():\n    class Twice: ...\n")
    found = modules_by_class(tmp_path)
    assert found == {"Twice": {"api/a.py", "shared/b.py"}, "Once": {"api/a.py"}}
