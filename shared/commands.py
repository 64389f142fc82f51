"""The entry points of `stemqueue-separate`, `stemqueue-admin` and `stemqueue-models`.

A plain install lacks the packages that these commands need; then they name the extra to install. Each image has only
its own half of stemqueue. This module uses the standard library only.
"""

from __future__ import annotations

import sys
from importlib import import_module

OWN = frozenset({"api", "worker", "shared", "deploy"})


def separate() -> None:
    """Run `stemqueue-separate`."""
    _run("stemqueue-separate", "worker.separate_command", extra="worker")


def admin() -> None:
    """Run `stemqueue-admin`."""
    _run("stemqueue-admin", "shared.maintenance.admin_command", extra="api")


def models() -> None:
    """Run `stemqueue-models`."""
    _run("stemqueue-models", "worker.model_setup.catalog.command", extra="models")


def _run(name: str, module: str, *, extra: str) -> None:
    try:
        command = import_module(module).main
    except ModuleNotFoundError as error:
        half = module.partition(".")[0]
        if error.name == half:
            sys.exit(f"{name} is not part of this image or installation: stemqueue's package {half!r} is not in it")
        missing = (error.name or "").partition(".")[0]
        if missing in OWN:
            raise
        sys.exit(
            f"{name} needs the package {missing}, which the extra {extra!r} installs: pip install 'stemqueue[{extra}]'"
        )
    command()
