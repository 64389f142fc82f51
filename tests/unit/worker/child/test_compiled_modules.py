"""Where an installation holds no compiled modules, children use those that the worker keeps elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from worker.child.sandbox import child_environment, child_sandbox


def test_a_child_reads_the_modules_that_the_worker_compiled_and_writes_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "pycache"
    monkeypatch.setattr(sys, "pycache_prefix", str(folder))
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(folder))
    home = tmp_path / "home"
    assert child_environment(threads=1, home=home)["PYTHONPYCACHEPREFIX"] == str(folder)
    allowed = child_sandbox(home=home).allowed
    assert {access for access, path in allowed if path == folder} == {"read"}
