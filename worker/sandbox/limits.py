"""What a confined process may use and become: resource limits, capabilities, a life no longer than its parent's."""

from __future__ import annotations

import os
import resource
import struct
import sys

from worker.sandbox import kernel

SIGKILL = 9
SECONDS_TO_END = 10
"""Processor time between the signal that tells a process to end, and the one that ends it."""

# capset(2): version 3 of its structure, for the calling process, with three empty sets in two halves.
CAPABILITIES_V3 = struct.pack("=Ii", 0x20080522, 0)
NO_CAPABILITIES = bytes(24)

LIMITS = {
    "memory": resource.RLIMIT_AS,
    "processor": resource.RLIMIT_CPU,
    "file": resource.RLIMIT_FSIZE,
    "descriptors": resource.RLIMIT_NOFILE,
}


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends. Exits if that has happened already."""
    kernel.set_process_attribute(kernel.PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        # The parent died before the request was in force: nobody is left to send the signal.
        sys.exit(1)


def give_up_privileges() -> None:
    """Drop all capabilities, and rule out that executing a program brings any back. Raises OSError."""
    kernel.set_process_attribute(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.checked("capset", kernel.LIBC.capset(CAPABILITIES_V3, NO_CAPABILITIES))


def limit(name: str, value: int) -> None:
    """Set one of LIMITS: bytes, seconds of processor time, or a number of descriptors. Raises OSError."""
    kind = LIMITS[name]
    _, hard = resource.getrlimit(kind)
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    bound = min(value, most)
    # The hard limit of processor time is a little higher. A process that reaches it is killed, which looks as if
    # somebody else had done it; before that it is told to end, and ends by itself.
    last = min(bound + SECONDS_TO_END, most) if kind == resource.RLIMIT_CPU else bound
    resource.setrlimit(kind, (bound, last))


def no_core_dumps() -> None:
    """Keep a crash from writing the process's memory to a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
