"""`make admin DO="status"`: runs `stemqueue-admin` with the addresses and credentials of this clone's servers."""

from __future__ import annotations

import os
import sys

from deploy.local.private_files import load_or_make_credentials
from deploy.local.service_plan import server_settings
from deploy.local.stack import stack_settings


def main() -> None:
    """Replace this process with `stemqueue-admin` and the given arguments."""
    settings = stack_settings()
    file = settings.state_folder / "credentials.json"
    if not file.exists():
        sys.exit("make: this clone has no stack yet; start one with: make run")
    addresses = server_settings(settings, load_or_make_credentials(file))
    command = [sys.executable, "-m", "shared.maintenance.admin_command", *sys.argv[1:]]
    os.execve(command[0], command, {**os.environ, **addresses})  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main()
