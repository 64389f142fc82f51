"""The client has its own lists of states and priorities, since it cannot import the server's; they must be equal."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from api.client import cli, models
from api.client.catalog.run_command import run_catalog
from shared.audio.mixes import Mix
from shared.jobs.model import TERMINAL, JobState
from shared.jobs.request import PRIORITIES


def choices(command: click.Command, option: str) -> tuple[str, ...]:
    [found] = [parameter for parameter in command.params if parameter.name == option]
    assert isinstance(found.type, click.Choice)
    return tuple(found.type.choices)


@pytest.mark.parametrize("command", [cli.submit, run_catalog])
def test_the_commands_take_the_servers_priorities(command: click.Command) -> None:
    assert choices(command, "priority") == PRIORITIES


def test_jobs_can_be_listed_by_each_state() -> None:
    assert choices(cli.list_jobs, "state") == tuple(JobState)


def test_the_client_knows_which_states_are_final() -> None:
    assert set(models.ENDED) == TERMINAL


@pytest.mark.parametrize("command", [cli.run, cli.submit])
def test_the_commands_take_one_source(command: click.Command, tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    song.touch()
    for arguments in ([], [str(song), "--from-job", "5/vocals"]):
        refused = CliRunner().invoke(cli.main, [command.name or "", *arguments])
        assert (refused.exit_code, "either SONG or --from-job" in refused.output) == (2, True)
    for text in ("vocals", "/vocals", "5/"):
        refused = CliRunner().invoke(cli.main, [command.name or "", "--from-job", text])
        assert (refused.exit_code, "JOB_ID/OUTPUT" in refused.output) == (2, True)


@pytest.mark.parametrize("command", [cli.run, cli.submit, run_catalog])
def test_the_commands_take_stems_and_mixes(command: click.Command) -> None:
    options = {p.name: p for p in command.params}
    context = click.Context(command)
    assert options["stems"].process_value(context, "none") == []
    assert options["stems"].process_value(context, None) is None
    mixes = options["mixes"].process_value(context, ["minus:vocals", "quiet=vocals:-6"])
    assert mixes == (Mix("minus-vocals", {"vocals": None}), Mix("quiet", {"vocals": -6.0}))
    with pytest.raises(click.BadParameter, match="minus:STEM"):
        options["mixes"].process_value(context, ["vocals"])


@pytest.mark.parametrize("command", [cli.run, cli.submit, run_catalog])
def test_the_commands_take_chains(command: click.Command) -> None:
    option = {p.name: p for p in command.params}["then"]
    context = click.Context(command)
    deep = {"from": "vocals", "then": [{"from": "drums"}]}
    given = ("vocals", "vocals:unet", json.dumps(deep), json.dumps([{"from": "a"}, {"from": "b"}]))
    assert option.process_value(context, given) == [
        {"from": "vocals"},
        {"from": "vocals", "engine": "unet"},
        deep,
        {"from": "a"},
        {"from": "b"},
    ]
    assert option.process_value(context, None) is None
    for wrong in ("{", "[5]"):
        with pytest.raises(click.BadParameter):
            option.process_value(context, (wrong,))
