"""Bind the process to limits and to its parent's life, then become another program.

Started as a script by `ffmpeg.py`, in place of a `preexec_fn`: Python code between fork and exec can
deadlock in a process that has threads, and the limits must stand before the program's first instruction.
It imports nothing of the project, and little of Python (`signal` alone would be a quarter of its time), and runs under
`python -I -S`, which costs about 11 ms of processor time.

    python -I -S confine.py PARENT_PID MEMORY_BYTES CPU_SECONDS FILE_BYTES PROGRAM ARGUMENT...
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SIGKILL = 9
# ffmpeg needs its input, output and error, and a few for its own threads' pipes.
MAX_OPEN_FILES = 32
SECONDS_TO_END = 10


def main(arguments: list[str]) -> None:
    """Set the limits and execute; returns never."""
    parent, memory_bytes, cpu_seconds, file_bytes = (int(a) for a in arguments[:4])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        # The parent died before the request was in force: nobody is left to send the signal.
        sys.exit(1)
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        bound = min(value, most)
        # Of processor time a little more as the hard limit: past that it is killed outright, which looks as if somebody
        # else had done it; before, it is told, and ends by itself.
        last = min(bound + SECONDS_TO_END, most) if limit == resource.RLIMIT_CPU else bound
        resource.setrlimit(limit, (bound, last))
    os.execve(arguments[4], arguments[4:], {})  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
