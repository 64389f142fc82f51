"""The progress line of a run on terminals of any width, and without a terminal."""

from __future__ import annotations

import pytest

from api.client.catalog.display import RunDisplay, RunProgress

PROGRESS = RunProgress(total=100_000, uploading=3, running=4, done=12, failed=2)


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_a_narrow_terminal_shows_what_matters_most(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("api.client.terminal.is_terminal", lambda: True)
    with RunDisplay() as display:
        display.show(RunProgress(100_000, 3, 4, 2, 0))
        display.show(PROGRESS)
    shown = capsys.readouterr().err
    done, uploading = ("12/100000 done", "") if columns < 100 else ("12 of 100000 done", "3 to upload")
    assert done in shown
    assert "2 failed" in shown
    assert uploading in shown
    assert " left" in shown
    assert all(len(line) < columns for line in shown.replace("\r\x1b[K", "\n").splitlines())


def test_without_a_terminal_lines_tell_and_trouble_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("api.client.terminal.is_terminal", lambda: False)
    with RunDisplay() as display:
        display.show(PROGRESS, "No server answers at http://127.0.0.1:1.")
        display.show(PROGRESS)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "12 of 100000 done; trying again: No server answers at http://127.0.0.1:1."
