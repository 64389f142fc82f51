"""Runs pip or uv, and shows their progress in one line instead of hundreds.

bootstrap.py uses it before anything is installed, so it uses the standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Thread

# The time between two lines of progress if the output is not a terminal.
_SECONDS_BETWEEN_LINES = 10.0


def run_pip(command: Sequence[str], what: str) -> str | None:
    """Run the command. Return None, or its error message if it failed."""
    output: list[str] = []
    begin = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        reader = Thread(target=_collect_lines, args=(process, output), daemon=True)
        reader.start()
        _show_until_it_ends(reader, output, what)
        reader.join()
    end = "\r\033[K" if sys.stdout.isatty() else ""
    if process.returncode == 0:
        print(f"{end}  {what}: done in {time.monotonic() - begin:.0f} s", flush=True)
        return None
    print(end, end="", flush=True)
    errors = [line for line in output if line.lower().startswith("error:")] or output[-1:] or ["it printed no message"]
    return re.sub("^error:", "", errors[0], flags=re.IGNORECASE).strip()


def _collect_lines(process: subprocess.Popen[str], output: list[str]) -> None:
    assert process.stdout is not None  # noqa: S101 - asked for above
    for line in process.stdout:
        output.append(line.rstrip())


def _show_until_it_ends(reader: Thread, output: list[str], what: str) -> None:
    is_terminal = sys.stdout.isatty()
    begin = shown = time.monotonic()
    while reader.is_alive():
        reader.join(timeout=0.5)
        now = time.monotonic()
        if is_terminal:
            print(f"\r\033[K  {what}: {_stage(output)}, {now - begin:.0f} s", end="", flush=True)
        elif now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            print(f"  {what}: {_stage(output)}, {now - begin:.0f} s", flush=True)


def _stage(output: Sequence[str]) -> str:
    """Return what the installer is doing, from its output."""
    for line in reversed(output):
        if line.startswith("Installing collected packages:"):
            return f"installing {line.count(',') + 1} packages"
    fetched = sum(line.startswith("Collecting ") for line in output)
    return f"{fetched} packages fetched" if fetched else "preparing"
