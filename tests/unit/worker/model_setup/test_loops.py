"""The stamp of compiled loops: nothing is compiled twice, and loops that numba would not find are compiled again."""

from __future__ import annotations

import pytest

from worker.engines import repetition
from worker.model_setup import loops


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """Count how often the loops are run, which compiles them."""
    runs = []
    monkeypatch.setattr(repetition, "warm_up", lambda: runs.append(1))
    return runs


def test_loops_are_compiled_once(tmp_path, compiled):
    assert loops.compile_loops(tmp_path)
    assert not loops.compile_loops(tmp_path)
    assert len(compiled) == 1


def test_another_processor_compiles_them_again(tmp_path, monkeypatch):
    loops.compile_loops(tmp_path)
    monkeypatch.setattr(loops, "describe_machine", lambda _: {"processor": "another"})
    assert loops.compile_loops(tmp_path)


def test_another_cache_folder_of_numba_compiles_them_again(tmp_path, monkeypatch):
    loops.compile_loops(tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    assert loops.compile_loops(tmp_path)
