"""Put the sandbox on, then become another program: a script, started by `launch.py`.

    python -I -S confine.py NAME=VALUE... -- PROGRAM ARGUMENT...

    parent=PID              whose end ends this process (required)
    report=DESCRIPTOR       where to write what failed; closed once the sandbox is on (required)
    landlock=VERSION        the interface that was there when the worker began; 0: none
    seccomp=0 or 1          whether the kernel filtered system calls then
    alone=0 or 1            1: no other processes, no signals to any
    environment=none        the program gets no environment; else ours
    memory= processor= file= descriptors=   limits (bytes, seconds, bytes, a number)
    run= read= list= write= work=           paths to allow (see ACCESS in landlock.py); any number of them

It is a script, in place of a `preexec_fn`, since Python code between fork and exec can deadlock in a process that has
threads; and the sandbox must be on before the program's first instruction.
"""

from __future__ import annotations

import os
import sys

# The folder that holds the package `worker`, last: the standard library goes first. pathlib would take as long to
# import as all the rest of this.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120

from worker.sandbox import landlock, limits, seccomp

FAILED = 125
"""Exit code when the sandbox could not be put on; what failed is in the report."""


def main(words: list[str]) -> None:
    """Confine this process and execute the program; never returns."""
    split = words.index("--")
    options, command = [word.split("=", 1) for word in words[:split]], words[split + 1 :]
    single = {name: value for name, value in options if name not in landlock.ACCESS}
    allowed = [(name, value) for name, value in options if name in landlock.ACCESS]
    report = int(single["report"])
    os.set_inheritable(report, False)
    limits.die_with_parent(int(single["parent"]))
    try:
        confine(single, allowed)
    except OSError as error:
        os.write(report, str(error.strerror or error).encode())
        sys.exit(FAILED)
    os.close(report)
    os.execve(command[0], command, {} if single.get("environment") == "none" else os.environ)  # noqa: S606


def confine(single: dict[str, str], allowed: list[tuple[str, str]]) -> None:
    """Put all parts on; what the kernel lacked when the worker began is left out. Raises OSError."""
    limits.give_up_privileges()
    limits.no_core_dumps()
    for name in limits.LIMITS:
        if name in single:
            limits.limit(name, int(single[name]))
    if version := int(single["landlock"]):
        landlock.restrict(allowed, version)
    # Last, since it refuses calls that the others make.
    if single["seccomp"] == "1":
        seccomp.filter_calls(alone=single["alone"] == "1")


if __name__ == "__main__":
    main(sys.argv[1:])
