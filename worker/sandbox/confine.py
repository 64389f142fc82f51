"""A script, started by `launch.py`, that applies the sandbox to itself and then executes another program.

    python -I -S confine.py NAME=VALUE... -- PROGRAM ARGUMENT...

    parent=PID              the process whose end ends this one (required)
    report=DESCRIPTOR       receives the error if a step fails; closed once the sandbox is complete (required)
    landlock=VERSION        the version of Landlock's interface when the worker started; 0: none
    seccomp=0 or 1          whether the kernel had seccomp filters then
    alone=0 or 1            1: the program may start no other process and signal none
    environment=none        the program gets an empty environment instead of this process's
    memory= processor= file= descriptors=   limits (bytes, seconds, bytes, a number)
    run= read= list= write= work=           paths to allow (see ACCESS in landlock.py), repeatable

The sandbox must be complete before the program's first instruction. A `preexec_fn` would not do: Python code between
fork and exec can deadlock in a process that has threads.
"""

from __future__ import annotations

import os
import sys

# The folder of the package `worker` goes last, after the standard library. Importing pathlib would take as long as all
# the rest of this script.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120

from worker.sandbox import landlock, limits, seccomp

FAILED = 125
"""Exit code when the sandbox could not be applied; the report has the error."""


def main(words: list[str]) -> None:
    """Confine this process and execute the program. Never returns."""
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
    """Apply all parts of the sandbox that the kernel had when the worker started. Raises OSError."""
    limits.give_up_privileges()
    limits.no_core_dumps()
    for name in limits.LIMITS:
        if name in single:
            limits.limit(name, int(single[name]))
    if version := int(single["landlock"]):
        landlock.restrict(allowed, version)
    # The filter comes last, since it refuses calls that the other steps make.
    if single["seccomp"] == "1":
        seccomp.filter_calls(alone=single["alone"] == "1")


if __name__ == "__main__":
    main(sys.argv[1:])
