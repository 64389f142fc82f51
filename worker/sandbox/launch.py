"""Start programs in the sandbox, and tell what of it this machine has."""

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
"""Where programs and libraries lie."""
LOADER_FILES = (Path("/etc/ld.so.cache"), Path("/dev/null"))
"""What starting a program reads beside them."""

SCOPED_SINCE = 6
"""The version of Landlock from which a process cannot signal those outside."""


@dataclass(frozen=True)
class Protection:
    """What of the sandbox this machine's kernel has."""

    landlock: int
    """The version of its interface; 0 where there is none."""
    seccomp: bool

    @property
    def is_complete(self) -> bool:
        """Whether files and system calls are confined."""
        return self.landlock > 0 and self.seccomp

    @property
    def gaps(self) -> tuple[str, ...]:
        """Return what stays open here, a phrase each."""
        possible = (
            ("files and other processes' environments (no Landlock)", not self.landlock),
            ("UNIX sockets and UDP (no seccomp filters)", not self.seccomp),
            ("signals to processes of the same user (Landlock before version 6)", self.landlock < SCOPED_SINCE),
        )
        return tuple(gap for gap, is_open in possible if is_open)

    @property
    def open_words(self) -> str:
        """Return the gaps in one line."""
        return "; ".join(self.gaps)


@lru_cache(maxsize=1)
def protection() -> Protection:
    """Ask the kernel, once: what was there then, every later start demands."""
    return Protection(landlock=landlock.version(), seccomp=seccomp.is_available())


@dataclass(frozen=True)
class Sandbox:
    """What one program may do; everything else is refused.

    `allowed` holds pairs of an access (ACCESS in landlock.py) and a path; `limits` those of limits.py that apply.
    `alone`: it may start no other process.
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
    """Start a program in a sandbox that is complete as far as the kernel has it.

    The program is to be named by its whole path. `further` descriptors stay open under their numbers; `pipes` goes to
    `Popen`. The kernel kills the process when the thread that started it ends. Raises SandboxUnavailableError when a
    part cannot be put on that was there before; the program has not run then.
    """
    holds = protection()
    report, written = os.pipe()
    confine = [sys.executable, "-I", "-S", str(SCRIPT), *_words(sandbox, holds, written, environment), "--"]
    with open(report, "rb") as reading:  # noqa: PTH123 - a descriptor
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [*confine, *command], env=environment, pass_fds=(*further, written), **pipes
            )
        finally:
            os.close(written)
        # Ends as soon as the sandbox is on.
        failure = reading.read()
    if failure:
        process.wait()
        raise SandboxUnavailableError(f"The worker cannot confine a process: {failure.decode('utf-8', 'replace')}.")
    return process


def _words(sandbox: Sandbox, holds: Protection, report: int, environment: Mapping[str, str]) -> list[str]:
    return [
        f"parent={os.getpid()}",
        f"report={report}",
        f"landlock={holds.landlock}",
        f"seccomp={int(holds.seccomp)}",
        f"alone={int(sandbox.alone)}",
        # Python itself may add to an empty one.
        *([] if environment else ["environment=none"]),
        *(f"{name}={value}" for name, value in sandbox.limits.items()),
        *(f"{access}={path}" for access, path in sandbox.allowed),
    ]
