"""System calls for which Python has no function. Every failure raises OSError, so that no gap goes unnoticed."""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
# `syscall` takes and returns longs: an int would truncate addresses.
LIBC.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def call(what: str, number: int, *arguments: object) -> int:
    """Make a system call and return its result. Raises OSError, whose text begins with `what`."""
    return checked(what, LIBC.syscall(ctypes.c_long(number), *arguments))


def checked(what: str, answer: int) -> int:
    """Return the result of a function of the C library. Raises OSError if it failed."""
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return answer


def set_process_attribute(attribute: int, value: int) -> None:
    """Call prctl. Raises OSError."""
    zero = ctypes.c_ulong(0)
    checked(f"prctl({attribute})", LIBC.prctl(attribute, ctypes.c_ulong(value), zero, zero, zero))
