"""The memory of this process: one heap for all threads, what the garbage collector skips, and the peak of a run."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import resource
from pathlib import Path

M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Make all threads allocate from one heap, if the C library can. Call it before any other thread exists.

    glibc would otherwise give each thread a heap of its own, and what one thread has freed no other thread can use. The
    two threads of a network then hold 26 MB more. They allocate some hundred large blocks a second, so they hardly ever
    wait for each other.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def freeze_loaded_objects() -> None:
    """Exclude all objects that exist now from garbage collection: looking at them would take 0.1 s each time."""
    gc.collect()
    gc.freeze()


def give_memory_back() -> None:
    """Return free memory in the heap to the system, if the C library can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak_memory() -> None:
    """Reset the kernel's record of this process's peak memory, so that a warm process reports the peak of each job."""
    # Without this right (in a hardened container) the report has the peak since the process started.
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """Return the peak of resident memory since `reset_peak_memory`, without the processes that this one started."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    highest = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    if highest is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(highest[1]) * 1024
