"""A workspace for each test of tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.run_support.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return Workspace(folder, max_bytes=1 << 30)
