"""`make admin DO="status"`: `stemqueue-admin` with the servers of this clone's stack, whose credentials it looks up."""

from __future__ import annotations

import os
import sys

from deploy.local.private_files import load_or_make_credentials
from deploy.local.service_plan import ways_to_servers
from deploy.local.stack import stack_settings


def main() -> None:
    """Become the command, with the arguments that follow."""
    settings = stack_settings()
    file = settings.state_folder / "credentials.json"
    if not file.exists():
        sys.exit("make: this clone has no stack yet; start one with: make run")
    told = ways_to_servers(settings, load_or_make_credentials(file))
    command = [sys.executable, "-m", "shared.maintenance.admin_command", *sys.argv[1:]]
    os.execve(command[0], command, {**os.environ, **told})  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main()
