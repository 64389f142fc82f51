"""Each folder of code has a README: it names each of the folder's files and no other, and says what they may import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = {".py", ".lua"}
NAMED = re.compile(r"`([\w./-]+\.(?:py|lua)|[\w-]+/)`")


def folders_of_code() -> list[str]:
    """Return every folder below the packages that holds modules or scripts, relative to the root."""
    found = {
        path.parent.relative_to(ROOT)
        for package in ("api", "worker", "shared", "deploy/local")
        for path in (ROOT / package).rglob("*")
        if path.suffix in CODE and "node_modules" not in path.parts
    }
    return sorted(map(str, found))


@pytest.mark.parametrize("folder", folders_of_code())
def test_a_folder_s_readme_names_each_of_its_files_and_no_other(folder: str) -> None:
    readme = ROOT / folder / "README.md"
    assert readme.exists()
    named = set(NAMED.findall(readme.read_text()))
    files = {path.name for path in (ROOT / folder).iterdir() if path.suffix in CODE} - {"__init__.py"}
    assert files - {Path(name).name for name in named} == set()
    missing = [name for name in named if not any((base / name).exists() for base in (ROOT / folder, ROOT))]
    assert missing == []


IMPORT_CLAIM = re.compile(r"(?:[Ii]mports?|except|never) [^|]*?\.(?=\s)", re.DOTALL)
A_PACKAGE = re.compile(r"`((?:api|worker|shared|deploy)(?:\.\w+)*(?:\.\*)?)`")
PACKAGES = ("api", "worker", "shared", "deploy")


def imported(folder: Path) -> Iterator[str]:
    """Yield every module of the project that the folder's own modules import, also inside of functions."""
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                # What is imported may be a module itself.
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, packages: set[str]) -> bool:
    """Return whether a module is in one of the packages; `shared.*` stands for the modules directly in `shared`."""
    top, _, rest = module.partition(".")
    direct = f"{top}.*" in packages and (ROOT / top / f"{rest.partition('.')[0]}.py").exists()
    return direct or any(f"{module}.".startswith(f"{package}.") for package in packages)


def claims(readme: str) -> tuple[set[str], set[str]]:
    """Return the packages that a README says the folder may import, and those that it may not."""
    may, may_not = set(), set()
    for claim in IMPORT_CLAIM.findall(readme):
        allowed, _, refused = re.sub(r"\b(except|never)\b", "@", claim).partition("@")
        may.update(A_PACKAGE.findall(allowed))
        may_not.update(A_PACKAGE.findall(refused))
    return may, may_not


@pytest.mark.parametrize(
    "folder", [name for name in folders_of_code() if "/" in name and (ROOT / name / "__init__.py").exists()]
)
def test_a_folder_imports_only_what_its_readme_says(folder: str) -> None:
    own = folder.replace("/", ".")
    text = (ROOT / folder / "README.md").read_text()
    may, may_not = claims(text)
    foreign = {name for name in imported(ROOT / folder) if within(name, set(PACKAGES)) and not within(name, {own})}
    assert sorted(name for name in foreign if not within(name, may)) == []
    assert sorted(name for name in foreign if within(name, may_not - may)) == []


MAX_FILES = 12
"""A folder with more source files is split by concept. `__init__.py` does not count."""


@pytest.mark.parametrize("folder", [name for name in folders_of_code() if name.startswith(("api", "deploy"))])
def test_a_folder_has_at_most_a_dozen_source_files(folder: str) -> None:
    files = sorted(path.name for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py")
    assert len(files) <= MAX_FILES, files
