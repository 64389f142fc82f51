"""This process's memory: how the C library shares it between threads, what stays, and the highest that a run had."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import resource
from pathlib import Path

M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Have all threads allocate from one heap, where the C library can; to be called before there are other threads.

    glibc else gives each thread a heap, and what one has freed no other can use: two threads of a network hold
    26 MB more for it. They allocate some hundred large blocks a second, which makes no queue.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def keep_what_is_loaded() -> None:
    """Spare the garbage collector the look through what stays for good, which would make each run of it 0.1 s long."""
    gc.collect()
    gc.freeze()


def give_memory_back() -> None:
    """Give what is free in the heap back to the system, where the C library can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak_memory() -> None:
    """Have the kernel forget this process's highest memory, so that a warm process tells that of each job."""
    # Without this right (a hardened container) the report tells the highest since the process began.
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """Return the highest resident memory since `reset_peak_memory`, without the processes that this one started."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    highest = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    if highest is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(highest[1]) * 1024
