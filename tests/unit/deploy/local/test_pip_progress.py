"""pip's output becomes one line, also if pip fails."""

from __future__ import annotations

import sys

import pytest

from deploy.local.pip_progress import run_pip


def _program(text: str) -> list[str]:
    return [sys.executable, "-I", "-c", text]


def test_a_quiet_end_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_pip(_program("print('Collecting a\\nCollecting b')"), "stack.txt") is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("  stack.txt: done in")


def test_a_failure_is_told_in_pips_own_first_error_line(capsys: pytest.CaptureFixture[str]) -> None:
    program = "print('Collecting a\\nERROR: hashes differ\\nERROR: and more'); raise SystemExit(1)"
    assert run_pip(_program(program), "stack.txt") == "hashes differ"
    assert "done" not in capsys.readouterr().out
