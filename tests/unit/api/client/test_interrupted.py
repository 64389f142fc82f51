"""Ctrl-C ends each command with exit code 130."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from api.client import cli


@pytest.mark.parametrize("arguments", [["catalog", "list"], ["list"]])
def test_ctrl_c_before_there_is_a_connection_ends_the_command_as_shells_expect(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "Client", interrupted)
    result = CliRunner().invoke(cli.main, arguments)
    assert (result.exit_code, result.output) == (130, "")
