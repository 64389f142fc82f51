"""The commands of docs/runbook.md and deploy/kubernetes/README.md exist, with their options."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from api.client.cli import main as client
from shared.maintenance.admin_command import main as admin
from tests.fixtures.deployment.compose import ROOT, read_definition

PAGES = ["docs/runbook.md", "docs/deployment.md", "deploy/kubernetes/README.md"]
SECRETS = {"REDIS_PASSWORD": "r", "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "s"}
ADMIN = re.compile(r'(?:stemqueue-admin|admin DO=")((?: ?(?:[\w./-]+))+)')
CLIENT = re.compile(r"(?:\.venv/bin/|`)stemqueue ((?:[\w./-]+ ?)+)")
COMPOSE = re.compile(r"docker compose (?:exec(?: -T)?|logs|stop|run --rm) ((?:--\S+ \w+ )?)(\w+)")


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def check(group: click.Group, words: list[str]) -> None:
    """Fail unless the words begin with a command of the group and have options and arguments that it takes."""
    command: click.Command = group
    while isinstance(command, click.Group):
        if words == ["--help"]:
            return
        assert words, "a group alone is no command"
        assert words[0] in command.commands, f"{command.name} has no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, list(words), resilient_parsing=False)


def admin_commands() -> list[tuple[str, str]]:
    return [(page, words.strip()) for page in PAGES for words in ADMIN.findall(text_of(page)) if words.strip()]


@pytest.mark.parametrize(("page", "words"), sorted(set(admin_commands())))
def test_a_command_of_stemqueue_admin_exists(page: str, words: str, tmp_path: object) -> None:
    del page, tmp_path
    split = shlex.split(words)
    if split[:2] == ["keys", "import"]:
        split = split[:2]  # the file is the reader's
    check(admin, split)


def test_the_runbook_shows_every_command_of_stemqueue_admin_that_changes_something() -> None:
    shown = {" ".join(words.split()[: 2 if words.startswith("keys") else 1]) for _, words in admin_commands()}
    keys = admin.commands["keys"]
    assert isinstance(keys, click.Group)
    known = {*set(admin.commands) - {"keys", "cors"}, *(f"keys {name}" for name in keys.commands)}
    assert known <= shown


def test_commands_of_the_client_exist() -> None:
    found = CLIENT.findall(text_of("docs/runbook.md"))
    assert len(found) >= 3
    for words in found:
        first, *rest = words.split()
        assert first in client.commands, words
        if first == "catalog":
            catalog = client.commands[first]
            assert isinstance(catalog, click.Group)
            assert rest[0] in catalog.commands


def test_services_of_compose_exist() -> None:
    services = {*read_definition(SECRETS)["services"]}
    found = [name for _, name in COMPOSE.findall(text_of("docs/runbook.md"))]
    assert len(found) > 5
    assert set(found) <= services
