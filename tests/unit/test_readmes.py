"""Each folder of code has a README, and it names each of the folder's files and nothing that is not there."""

from __future__ import annotations

import re
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
