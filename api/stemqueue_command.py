"""Where the command `stemqueue` begins: before anything is imported that takes time, so that Ctrl-C ends that too."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""What shells make of a program that Ctrl-C ended."""


def main() -> None:
    """Be the command."""
    try:
        from api.client.cli import main as command  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    command()
