"""The READMEs' tables of modules name each module, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["api", "worker", "shared"])
def test_a_package_s_readme_names_each_of_its_modules_and_no_other(package: str) -> None:
    table = re.findall(r"^\| (`.*?) \|", (ROOT / package / "README.md").read_text(), re.MULTILINE)
    named = {name for cell in table for name in re.findall(r"`([\w/]+\.(?:py|lua)|\w+/)`", cell)}
    modules = {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py"}
    assert modules - named == set()
    assert [name for name in named if not (ROOT / package / name).exists()] == []
