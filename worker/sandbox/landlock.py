"""Landlock: decides which files a process may open, and how. Everything that is not allowed is refused.

A process in a Landlock domain also cannot read the memory or `/proc/<pid>/environ` of processes outside of the domain.
From version 4 of the interface it can open no TCP connection. From version 6 it can send no signal to a process outside
and connect to no abstract UNIX socket.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from worker.sandbox import kernel

# These numbers are the same on every processor.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION, RULE_PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_FOLDER, REMOVE_FILE, MAKE_FOLDER, MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
MOVE_BETWEEN_FOLDERS, TRUNCATE, DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL

# Rights on files by the version that introduced them. All are revoked; a few are granted again for some paths.
RIGHTS_SINCE = {1: (1 << 13) - 1, 2: MOVE_BETWEEN_FOLDERS, 3: TRUNCATE, 5: DEVICE_CONTROL}
ALL_TCP_SINCE_4, ALL_SCOPES_SINCE_6 = 0b11, 0b11

_READ = READ_FILE | READ_FOLDER
_WRITE = READ_FILE | WRITE_FILE | REMOVE_FILE | MAKE_FILE | TRUNCATE
ACCESS = {
    "run": _READ | EXECUTE,
    "read": _READ,
    "list": READ_FOLDER,
    # Only regular files can be created: other processes might follow links, or wait for pipes and sockets.
    "write": _WRITE,
    "work": _WRITE | READ_FOLDER | MAKE_FOLDER | REMOVE_FOLDER | MOVE_BETWEEN_FOLDERS,
}
"""The kinds of access by name: what is allowed on a path and on everything below it."""


def version() -> int:
    """Return the version of the kernel's Landlock interface, or 0 if there is none."""
    try:
        return kernel.call("landlock_create_ruleset", CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def restrict(allowed: list[tuple[str, str]], required_version: int) -> None:
    """Allow these pairs of an access and a path, and nothing else, to this process and to all that it starts.

    It applies to the calling thread only, so call it while there is no other. Raises OSError if a step fails or if the
    kernel's interface is older than required.
    """
    found = version()
    if found < required_version:
        raise OSError(f"Landlock has version {found}, but had {required_version} when the worker started")
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
        # A path that is missing, or that this user cannot open, cannot be allowed.
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= ON_FILES
    rule = struct.pack("=Qi", rights, descriptor)
    kernel.call("landlock_add_rule", ADD_RULE, ctypes.c_int(rules), RULE_PATH_BENEATH, rule, ctypes.c_uint32(0))
    os.close(descriptor)
