"""A seccomp filter: decides which system calls a process may make. It is a program in BPF, the kernel's bytecode.

The filter sees the number of a call, the processor's architecture and the arguments as numbers. Calls that read and
write open descriptors, and those for memory, threads and clocks, stay allowed.
"""

from __future__ import annotations

import ctypes
import os
import struct

from worker.sandbox import kernel
from worker.sandbox.system_calls import (
    ABSENT,
    ARCHITECTURES,
    CONDITIONAL,
    NEWEST,
    REFUSED,
    REFUSED_ALONE,
    SECCOMP,
    Numbers,
)

SET_FILTER, ASK_ACTION = 1, 2
# SECCOMP_FILTER_FLAG_SPEC_ALLOW: without it, kernels before 5.16 slow down every filtered process (Spectre).
FLAGS = 4
KILL_PROCESS, REFUSE, ABSENT_HERE, ALLOW = 0x80000000, 0x00050001, 0x00050026, 0x7FFF0000  # EPERM is 1, ENOSYS 38

LOAD, RETURN = 0x20, 0x06
IF_EQUAL, IF_GREATER, IF_AT_LEAST, IF_ANY_BIT = 0x15, 0x25, 0x35, 0x45
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16

X32 = 0x40000000
"""This bit marks calls of the x32 ABI, which reach the same kernel code by other numbers."""
CLONE_THREAD = 0x10000
CLONE_NEW = 0x7E020000
"""CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID and …NET."""
PUSH_INPUT, LINUX_CONSOLE = 0x5412, 0x541C
"""TIOCSTI and TIOCLINUX: they insert input into a terminal, as if its user had typed it."""

Step = tuple[int, int, "str | int", "str | int"]
"""An instruction: operation, operand, and the jumps if true and if false: a number of steps to skip, or a label."""

Program = list[Step]


def is_available() -> bool:
    """Return whether the kernel has seccomp filters and the numbers of this processor's calls are known."""
    if os.uname().machine not in ARCHITECTURES:
        return False
    try:
        for action in (REFUSE & 0xFFFF0000, KILL_PROCESS):
            _seccomp(ASK_ACTION, 0, struct.pack("=I", action))
    except OSError:
        return False
    return True


def filter_calls(*, alone: bool) -> None:
    """Filter the calls of this thread and of everything that it starts, irrevocably. Raises OSError.

    `alone`: the process may start threads but no other process, and may send signals to itself only.
    """
    code = assemble(program(os.uname().machine, alone_as=os.getpid() if alone else None))
    buffer = ctypes.create_string_buffer(code, len(code))
    _seccomp(SET_FILTER, FLAGS, struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))


def program(machine: str, *, alone_as: int | None) -> Program:
    """Return the filter for an architecture. `alone_as`: the id of a process that may not start or signal others."""
    column = list(ARCHITECTURES).index(machine)

    def numbers(table: Numbers) -> list[int]:
        return [pair[column] for pair in table.values() if pair[column] is not None]  # type: ignore[misc]

    steps: Program = [
        (LOAD, ARCHITECTURE_AT, 0, 0),
        (IF_EQUAL, ARCHITECTURES[machine], 0, "kill"),
        (LOAD, NUMBER_AT, 0, 0),
    ]
    if machine == "x86_64":
        steps.append((IF_AT_LEAST, X32, "refuse", 0))
    steps.append((IF_GREATER, NEWEST, "absent", 0))
    refused = numbers(REFUSED) + (numbers(REFUSED_ALONE) if alone_as is not None else [])
    steps += [(IF_EQUAL, number, "refuse", 0) for number in refused]
    steps += [(IF_EQUAL, number, "absent", 0) for number in numbers(ABSENT)]
    for name, rule in _conditions(alone_as).items():
        number = CONDITIONAL[name][column] or 0
        steps += [(IF_EQUAL, number, 0, len(rule) + 1), *rule, (RETURN, ALLOW, 0, 0)]
    return [*steps, (RETURN, ALLOW, 0, 0)]


def _conditions(alone_as: int | None) -> dict[str, Program]:
    rules: dict[str, Program] = {
        "clone": [_argument(0), (IF_ANY_BIT, CLONE_NEW, "refuse", 0)],
        "ioctl": [_argument(1), (IF_EQUAL, PUSH_INPUT, "refuse", 0), (IF_EQUAL, LINUX_CONSOLE, "refuse", 0)],
        # A process may change its own limits only.
        "prlimit64": [_argument(0), (IF_EQUAL, 0, 0, "refuse")],
    }
    if alone_as is not None:
        rules["clone"].append((IF_ANY_BIT, CLONE_THREAD, 0, "refuse"))
        rules["kill"] = rules["tgkill"] = [_argument(0), (IF_EQUAL, alone_as, 0, "refuse")]
    return rules


def _argument(place: int) -> Step:
    """Load the lower half of an argument: the kernel reads no more of the arguments that are compared here."""
    return (LOAD, ARGUMENTS_AT + 8 * place, 0, 0)


def assemble(steps: Program) -> bytes:
    """Return the bytecode, followed by the return instructions that the labels stand for."""
    ends = {"kill": KILL_PROCESS, "absent": ABSENT_HERE, "refuse": REFUSE}
    places = {label: len(steps) + offset for offset, label in enumerate(ends)}

    def jump(target: str | int, place: int) -> int:
        return places[target] - place - 1 if isinstance(target, str) else target

    code = [
        struct.pack("=HBBI", operation, jump(if_true, place), jump(if_false, place), number)
        for place, (operation, number, if_true, if_false) in enumerate(steps)
    ]
    return b"".join([*code, *(struct.pack("=HBBI", RETURN, 0, 0, answer) for answer in ends.values())])


def _seccomp(operation: int, flags: int, arguments: bytes) -> int:
    column = list(ARCHITECTURES).index(os.uname().machine)
    return kernel.call("seccomp", SECCOMP[column], ctypes.c_uint(operation), ctypes.c_uint(flags), arguments)
