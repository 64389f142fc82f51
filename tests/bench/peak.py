"""The most memory that a process of a benchmark has held."""

from __future__ import annotations

from pathlib import Path


def peak_mebibytes() -> int:
    """Return this process's peak of resident memory in MiB."""
    # Not getrusage: its peak counts the parent's memory before exec.
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return round(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
