"""Limits of a confined process: resource limits, no capabilities, and a life no longer than its parent's."""

from __future__ import annotations

import os
import resource
import struct
import sys

from worker.sandbox import kernel

SIGKILL = 9
SECONDS_TO_END = 10
"""Processor time between SIGXCPU, which asks a process to end, and SIGKILL."""

# capset(2): version 3 of the header, for the calling process; the data are three empty sets in two halves.
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
        # The parent died before the request took effect, so the signal will never come.
        sys.exit(1)


def give_up_privileges() -> None:
    """Drop all capabilities, and make sure that no executed program regains any. Raises OSError."""
    kernel.set_process_attribute(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.checked("capset", kernel.LIBC.capset(CAPABILITIES_V3, NO_CAPABILITIES))


def limit(name: str, value: int) -> None:
    """Set one of LIMITS. The unit is bytes, seconds of processor time, or a number of descriptors. Raises OSError."""
    kind = LIMITS[name]
    _, hard = resource.getrlimit(kind)
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    bound = min(value, most)
    # The hard limit of processor time is a little higher: at the soft limit the process gets SIGXCPU and ends with a
    # status of its own. A kill at the hard limit would look like a kill from outside.
    last = min(bound + SECONDS_TO_END, most) if kind == resource.RLIMIT_CPU else bound
    resource.setrlimit(kind, (bound, last))


def no_core_dumps() -> None:
    """Prevent core dumps, which would write the process's memory to a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
