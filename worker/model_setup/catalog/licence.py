"""Asks the user at the terminal to accept a model's licence."""

from __future__ import annotations

import sys
from functools import partial

import click

from worker.model_setup.catalog.add import AskLicence
from worker.model_setup.errors import ModelSetupError


def licence_question(*, is_accepted: bool) -> AskLicence:
    """Return the function that asks, or only shows the licence if it was accepted on the command line."""
    return partial(_ask, is_accepted=is_accepted)


def _ask(title: str, words: str, source: str | None, *, is_accepted: bool) -> None:
    """Show a licence and ask. Raises ModelSetupError if it is not accepted, or if nobody is there to ask."""
    click.echo(f"The licence of {title}: {words}", err=True)
    if source:
        click.echo(f"Source: {source}", err=True)
    if is_accepted:
        return
    if not sys.stdin.isatty():
        raise ModelSetupError("There is no terminal to ask about the licence. If you accept it, give --accept-licence.")
    if not click.confirm("Do you accept it?", err=True):
        raise ModelSetupError("The licence was not accepted, so nothing was added.")
