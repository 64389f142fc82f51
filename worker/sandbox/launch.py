"""Starts programs in the sandbox, and reports which parts of it this machine's kernel offers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from shared.errors import SandboxUnavailableError
from worker.sandbox import landlock, seccomp

SCRIPT = Path(__file__).with_name("confine.py")

SYSTEM_FOLDERS = tuple(Path(p) for p in ("/usr", "/lib", "/lib64", "/bin", "/nix/store", "/gnu/store"))
"""Folders of programs and libraries."""
LOADER_FILES = (Path("/etc/ld.so.cache"), Path("/dev/null"))
"""Further files that are needed to start a program."""

SCOPED_SINCE = 6
"""From this version of Landlock, a process cannot send signals out of its domain."""


@dataclass(frozen=True)
class Protection:
    """The parts of the sandbox that this machine's kernel offers."""

    landlock: int
    """The version of Landlock's interface; 0 if there is none."""
    seccomp: bool

    @property
    def is_complete(self) -> bool:
        """Whether files and system calls are confined."""
        return self.landlock > 0 and self.seccomp

    @property
    def gaps(self) -> tuple[str, ...]:
        """Return what is not confined on this machine, a phrase each."""
        possible = (
            ("files and other processes' environments (no Landlock)", not self.landlock),
            ("UNIX sockets and UDP (no seccomp filters)", not self.seccomp),
            ("signals to processes of the same user (Landlock before version 6)", self.landlock < SCOPED_SINCE),
        )
        return tuple(gap for gap, is_open in possible if is_open)

    @property
    def gaps_text(self) -> str:
        """Return the gaps as one line of text."""
        return "; ".join(self.gaps)


@lru_cache(maxsize=1)
def protection() -> Protection:
    """Return what the kernel offers, as found at the first call. Later starts require all of that."""
    return Protection(landlock=landlock.version(), seccomp=seccomp.is_available())


@dataclass(frozen=True)
class Sandbox:
    """What one program may do. Everything else is refused.

    `allowed` holds pairs of an access (ACCESS in landlock.py) and a path; `limits` the values of LIMITS in limits.py.
    `alone`: the program may start no other process.
    """

    allowed: Sequence[tuple[str, Path]]
    limits: Mapping[str, int] = field(default_factory=dict)
    alone: bool = False


def start(
    command: Sequence[str],
    sandbox: Sandbox,
    *,
    environment: Mapping[str, str],
    further: Sequence[int] = (),
    **pipes: Any,
) -> subprocess.Popen[bytes]:
    """Start a program in a sandbox with all parts that the kernel offers.

    `command` begins with an absolute path. The descriptors in `further` stay open under their numbers; `pipes` is
    passed to `Popen`. The kernel kills the process when the thread that started it ends. Raises SandboxUnavailableError
    if a part that the kernel offered at first cannot be applied; the program has not run then.
    """
    holds = protection()
    report, written = os.pipe()
    confine = [sys.executable, "-I", "-S", str(SCRIPT), *_arguments(sandbox, holds, written, environment), "--"]
    with open(report, "rb") as reading:  # noqa: PTH123 - a descriptor
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [*confine, *command], env=environment, pass_fds=(*further, written), **pipes
            )
        finally:
            os.close(written)
        # Returns as soon as the sandbox is complete, since the script then closes its end.
        failure = reading.read()
    if failure:
        process.wait()
        raise SandboxUnavailableError(f"The worker cannot confine a process: {failure.decode('utf-8', 'replace')}.")
    return process


def _arguments(sandbox: Sandbox, holds: Protection, report: int, environment: Mapping[str, str]) -> list[str]:
    return [
        f"parent={os.getpid()}",
        f"report={report}",
        f"landlock={holds.landlock}",
        f"seccomp={int(holds.seccomp)}",
        f"alone={int(sandbox.alone)}",
        # Python itself may add variables to an empty environment.
        *([] if environment else ["environment=none"]),
        *(f"{name}={value}" for name, value in sandbox.limits.items()),
        *(f"{access}={path}" for access, path in sandbox.allowed),
    ]
