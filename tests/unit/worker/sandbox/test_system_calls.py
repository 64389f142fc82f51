"""The numbers of system calls are those of the kernel's headers; the filter's jumps are right on both processors."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from worker.sandbox import seccomp
from worker.sandbox.system_calls import ABSENT, ARCHITECTURES, CONDITIONAL, REFUSED, REFUSED_ALONE, SECCOMP

HEADERS = {
    "x86_64": [Path(p) for p in ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")],
    "aarch64": [Path("/usr/include/asm-generic/unistd.h")],
}
ALL = {**REFUSED, **REFUSED_ALONE, **ABSENT, **CONDITIONAL, "seccomp": SECCOMP}
ALLOWED, REFUSAL, NOT_THERE, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_headers(machine: str) -> None:
    header = next((path for path in HEADERS[machine] if path.is_file()), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed here")
    found = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE))
    column = list(ARCHITECTURES).index(machine)
    # nfsservctl has gone from the headers of x86_64, its number stays taken; fchmodat2 came with Linux 6.6.
    ours = {name: numbers[column] for name, numbers in ALL.items() if numbers[column] is not None}
    assert {n: v for n, v in ours.items() if n in found and v != int(found[n])} == {}
    assert set(ours) - set(found) <= {"nfsservctl", "fchmodat2"}


def run(code: bytes, *, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """Interpret a filter as the kernel does, for the few instructions that it uses."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    value, place = 0, 0
    while True:
        operation, if_true, if_false, k = struct.unpack_from("=HBBI", code, 8 * place)
        place += 1
        if operation == seccomp.LOAD:
            value = struct.unpack_from("=I", data, k)[0]
        elif operation == seccomp.RETURN:
            return int(k)
        else:
            test = {
                seccomp.IF_EQUAL: value == k,
                seccomp.IF_GREATER: value > k,
                seccomp.IF_AT_LEAST: value >= k,
                seccomp.IF_ANY_BIT: bool(value & k),
            }
            place += if_true if test[operation] else if_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("alone_as", [None, 77])
def test_the_filter_answers_each_call_as_the_tables_say(machine: str, alone_as: int | None) -> None:
    code = seccomp.assemble(seccomp.program(machine, alone_as=alone_as))
    here, column = ARCHITECTURES[machine], list(ARCHITECTURES).index(machine)

    def answer(number: int | None, *arguments: int) -> int:
        assert number is not None
        return run(code, number=number, architecture=here, arguments=arguments)

    def numbered(name: str) -> int | None:
        return ALL[name][column]

    assert all(answer(pair[column]) == REFUSAL for pair in REFUSED.values() if pair[column] is not None)
    assert answer(numbered("clone3")) == answer(463) == answer(9999) == NOT_THERE
    assert answer(numbered("clone"), 0x10000000) == REFUSAL
    assert answer(numbered("clone"), 0x3D0F00) == ALLOWED, "a thread"
    assert answer(numbered("clone"), 17) == (ALLOWED if alone_as is None else REFUSAL)
    assert answer(numbered("kill"), 78) == (ALLOWED if alone_as is None else REFUSAL)
    assert answer(numbered("kill"), 77) == answer(numbered("tgkill"), 77) == ALLOWED
    assert answer(numbered("ioctl"), 0, 0x5412) == REFUSAL
    assert answer(numbered("ioctl"), 0, 0x5401) == ALLOWED
    assert answer(numbered("prlimit64"), 0) == ALLOWED
    assert answer(numbered("prlimit64"), 1) == REFUSAL
    # Reading, writing, memory.
    usual = {"x86_64": (0, 1, 9, 257, 202), "aarch64": (63, 64, 222, 56, 98)}[machine]
    assert {answer(number) for number in usual} == {ALLOWED}
    assert run(code, number=usual[0], architecture=0x40000003) == KILLED
    if machine == "x86_64":
        assert answer(usual[0] | 0x40000000) == REFUSAL
