"""Exit codes that do not need a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from api.client import cli
from api.client.catalog.run_command import SOME_FAILED


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--limit", "0"],
        ["nothing"],
        ["submit", "/no/such/file"],
        ["catalog", "nothing"],
        ["catalog", "run"],
        ["catalog", "run", "/no/such/folder", "--out", "out"],
        ["catalog", "run", "{folder}", "--out", "{folder}"],
        ["catalog", "run", "{folder}", "--out", "out", "--format", "aiff"],
        ["catalog", "run", "{folder}/empty", "--out", "out"],
    ],
)
def test_a_wrong_command_line_is_2_in_every_command(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "song.wav").touch()
    told = [argument.format(folder=tmp_path) for argument in arguments]
    result = CliRunner().invoke(cli.main, told)
    assert result.exit_code == 2, result.output


def test_failed_tracks_have_a_code_of_their_own() -> None:
    assert SOME_FAILED not in {0, 1, 2, cli.StillWaitingError.exit_code, cli.NoServerError.exit_code}
