"""The status line, bars and tables of the command line."""

from __future__ import annotations

import pytest

from api.client.terminal import StatusLine, bar, table


@pytest.mark.parametrize(("fraction", "drawn"), [(0, "...."), (0.5, "##.."), (1, "####"), (7, "####"), (-1, "....")])
def test_a_bar_is_as_wide_as_asked(fraction: float, drawn: str) -> None:
    assert bar(fraction, 4) == drawn


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert table(("id", "song"), [("a", "x"), ("long", "")]) == "id    song\na     x\nlong"


def test_a_line_replaces_the_one_before_and_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("api.client.terminal.is_terminal", lambda: True)
    line = StatusLine()
    line.show("one", at_once=True)
    line.show("two", at_once=True)
    line.show("two", at_once=True)
    line.close()
    line.close()
    assert capsys.readouterr().err == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"


def test_nothing_is_drawn_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    line = StatusLine()
    line.show("one", at_once=True)
    line.close(keep=True)
    assert capsys.readouterr() == ("", "")
