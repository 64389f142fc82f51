"""Reads how many processes the kernel has killed because memory ran out (the OOM killer's counters).

A child that the kernel kills cannot report why it ended, but the kernel's counters show it. They count for
this worker's control group and for the whole machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def oom_kills(proc: Path = Path("/proc"), cgroups: Path = CGROUPS) -> int:
    """Return a number that grows whenever the OOM killer kills a process of this worker; 0 if there are no counters.

    If the kernel counts for the whole machine only, kills in other control groups raise it too.
    """
    files = [*_cgroup_files(proc, cgroups), proc / "vmstat"]
    return sum(_count(file) for file in files)


def _cgroup_files(proc: Path, cgroups: Path) -> Iterator[Path]:
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, name = cgroups, "memory.events"
        elif "memory" in controllers.split(","):
            folder, name = cgroups / "memory", "memory.oom_control"
        else:
            continue
        own = folder / path.lstrip("/") / name
        # In a container the path may be the host's, while the group's own files lie at the root.
        yield own if own.exists() else folder / name


def _count(file: Path) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
