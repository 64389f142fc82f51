"""Runs the engines' benchmarks under `make bench`."""

from __future__ import annotations

import pytest

from tests.bench.engines import families, run


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_the_engines_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        measured = run(list(families()))
    assert all(measured.values())
