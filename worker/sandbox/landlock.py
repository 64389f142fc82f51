"""Landlock: which files a process may open, and how. Everything that is not allowed here is refused.

A process in a Landlock domain also cannot look into processes outside of it: not into their memory, and not into
`/proc/<pid>/environ`. From version 4 of the interface it opens no TCP connection, from version 6 it signals nobody
outside and finds no abstract UNIX socket.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from worker.sandbox import kernel

# The calls have these numbers on every processor.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION, RULE_PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_FOLDER, REMOVE_FILE, MAKE_FOLDER, MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
MOVE_BETWEEN_FOLDERS, TRUNCATE, DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL

# Rights on files by the version that brought them. All are taken, and few given back.
RIGHTS_SINCE = {1: (1 << 13) - 1, 2: MOVE_BETWEEN_FOLDERS, 3: TRUNCATE, 5: DEVICE_CONTROL}
ALL_TCP_SINCE_4, ALL_SCOPES_SINCE_6 = 0b11, 0b11

_READ = READ_FILE | READ_FOLDER
_WRITE = READ_FILE | WRITE_FILE | REMOVE_FILE | MAKE_FILE | TRUNCATE
ACCESS = {
    "run": _READ | EXECUTE,
    "read": _READ,
    "list": READ_FOLDER,
    # Plain files only: no links, sockets, pipes or devices, which others might follow or wait for.
    "write": _WRITE,
    "work": _WRITE | READ_FOLDER | MAKE_FOLDER | REMOVE_FOLDER | MOVE_BETWEEN_FOLDERS,
}
"""What may be done with a path and all below it, by name."""


def version() -> int:
    """Return the version of the kernel's interface, 0 where there is none."""
    try:
        return kernel.call("landlock_create_ruleset", CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def restrict(allowed: list[tuple[str, str]], demanded_version: int) -> None:
    """Allow these pairs of an access and a path, and nothing else, from now on and for all that is started from here.

    It holds for the calling thread, so call it while there is no other. Raises OSError when any step fails, or the
    kernel's interface is older than demanded.
    """
    found = version()
    if found < demanded_version:
        raise OSError(f"Landlock has version {found}, and {demanded_version} when the worker began")
    taken = sum(rights for since, rights in RIGHTS_SINCE.items() if found >= since)
    asked = struct.pack("=QQQ", taken, ALL_TCP_SINCE_4, ALL_SCOPES_SINCE_6)
    n_bytes = ctypes.c_size_t(24 if found >= 6 else 16 if found >= 4 else 8)
    rules = kernel.call("landlock_create_ruleset", CREATE_RULESET, asked, n_bytes, ctypes.c_uint32(0))
    for access, path in allowed:
        _allow(rules, path, ACCESS[access] & taken)
    kernel.call("landlock_restrict_self", RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there, or closed to this user, cannot be allowed.
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= ON_FILES
    rule = struct.pack("=Qi", rights, descriptor)
    kernel.call("landlock_add_rule", ADD_RULE, ctypes.c_int(rules), RULE_PATH_BENEATH, rule, ctypes.c_uint32(0))
    os.close(descriptor)
