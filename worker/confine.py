"""Bind the process to limits and to its parent's life, wall it in, then become another program.

Whoever takes the program over from inside finds nothing worth having: where the kernel has Landlock, it reads the
system's programs and libraries alone (no songs, no secrets, no `/proc/<pid>/environ` of the worker), writes into one
folder at most, opens no TCP connection and signals nobody. Older kernels leave it with the limits.

Started as a script by `ffmpeg.py`, in place of a `preexec_fn`: Python code between fork and exec can
deadlock in a process that has threads, and the limits must stand before the program's first instruction.
It imports nothing of the project, and little of Python (`signal` alone would be a quarter of its time), and runs under
`python -I -S`, which costs about 11 ms of processor time.

    python -I -S confine.py PARENT_PID MEMORY_BYTES CPU_SECONDS FILE_BYTES WRITABLE_FOLDER PROGRAM ARGUMENT...

WRITABLE_FOLDER may be empty.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SIGKILL = 9
# ffmpeg needs its input, output and error, and a few for its own threads' pipes.
MAX_OPEN_FILES = 32
SECONDS_TO_END = 10

# Landlock's calls have these numbers on every processor.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION, RULE_PATH_BENEATH = 1, 1
# Rights on files by the version that brought them: of these all are taken, and few given back.
RIGHTS_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
EXECUTE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 2, 1 << 3
WRITE_FILE, REMOVE_FILE, MAKE_FILE, TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
ALL_TCP_SINCE_4, ALL_SCOPES_SINCE_6 = 0b11, 0b11
SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/bin", "/nix/store", "/gnu/store")
LOADERS_FILES = ("/etc/ld.so.cache", "/dev/null")


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
    writable, program = arguments[4], arguments[5]
    wall_in(libc, program, writable)
    os.execve(program, arguments[5:], {})  # noqa: S606 - no shell is the point


def wall_in(libc: ctypes.CDLL, program: str, writable: str) -> None:
    """Give up every file but the system's and those in `writable`, and the network, for good."""
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)
    if version < 1:
        return
    taken = sum(rights for since, rights in RIGHTS_SINCE.items() if version >= since)
    asked = struct.pack("=QQQ", taken, ALL_TCP_SINCE_4, ALL_SCOPES_SINCE_6)
    n_bytes = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(CREATE_RULESET, asked, ctypes.c_size_t(n_bytes), 0)
    if rules < 0:
        return
    # pathlib would take as long to import as all the rest of this.
    own_folder = os.path.dirname(os.path.realpath(program))  # noqa: PTH120
    for folder in (*SYSTEM_FOLDERS, own_folder):
        allow(libc, rules, folder, EXECUTE | READ_FILE | READ_FOLDER)
    for file in LOADERS_FILES:
        allow(libc, rules, file, READ_FILE)
    if writable:
        allow(libc, rules, writable, (READ_FILE | WRITE_FILE | REMOVE_FILE | MAKE_FILE | TRUNCATE) & taken)
    libc.syscall(RESTRICT_SELF, rules, 0)
    os.close(rules)


def allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    """Give back rights on what lies at or below a path, if it is there."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    libc.syscall(ADD_RULE, rules, RULE_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
