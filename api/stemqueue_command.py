"""Entry point of the command `stemqueue`. It imports the rest late, so that Ctrl-C is handled during imports too."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""The exit code that shells use for a program ended by Ctrl-C."""


def main() -> None:
    """Run the command."""
    try:
        from api.client.cli import main as command  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    command()
