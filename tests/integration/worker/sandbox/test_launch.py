"""If a sandbox cannot be applied completely, that is an error, and the program does not run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import SandboxUnavailableError
from worker.sandbox import landlock, launch, seccomp

PYTHON = str(Path(sys.executable).resolve())


@pytest.fixture(autouse=True)
def _complete() -> None:
    if not launch.protection().is_complete:
        pytest.skip(f"this machine leaves open: {launch.protection().gaps_text}")


def sandbox(*allowed: tuple[str, Path]) -> launch.Sandbox:
    python = [("run", folder) for folder in (*launch.SYSTEM_FOLDERS, Path(sys.base_prefix))]
    return launch.Sandbox(allowed=[*python, *(("read", f) for f in launch.LOADER_FILES), *allowed])


def say(code: str, confined: launch.Sandbox) -> tuple[int, str]:
    command = [PYTHON, "-I", "-S", "-c", code]
    process = launch.start(command, confined, environment={}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed.decode()


@pytest.mark.parametrize("holds", [launch.Protection(landlock=99, seccomp=True)])
def test_a_kernel_that_has_lost_something_since_the_start_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, holds: launch.Protection
) -> None:
    monkeypatch.setattr(launch, "protection", lambda: holds)
    touched = tmp_path / "touched"
    with pytest.raises(SandboxUnavailableError, match="Landlock has version") as error:
        say(f"open({str(touched)!r}, 'w')", sandbox(("work", tmp_path)))
    assert error.value.retryable
    assert not touched.exists()


@pytest.mark.parametrize("number", [landlock.CREATE_RULESET, landlock.ADD_RULE, landlock.RESTRICT_SELF, "seccomp"])
def test_every_call_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int | str) -> None:
    """An outer sandbox, such as a container's, refuses the calls one after the other."""
    refused = seccomp.SECCOMP[list(seccomp.ARCHITECTURES).index(os.uname().machine)] if number == "seccomp" else number
    script = tmp_path / "refusing.py"
    root = Path(launch.__file__).parents[2]
    # Before the script there is another that puts a filter on and becomes it.
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(root)!r})\n"
        "from worker.sandbox import limits, seccomp, system_calls\n"
        "limits.give_up_privileges()\n"
        f"system_calls.REFUSED['one'] = ({refused}, {refused})\n"
        f"seccomp.filter_calls(alone=False)\n"
        f"os.execv(sys.executable, [sys.executable, '-I', '-S', {str(launch.SCRIPT)!r}, *sys.argv[1:]])\n"
    )
    # The probe has been made, and said that all is there.
    assert launch.protection().is_complete
    monkeypatch.setattr(launch, "SCRIPT", script)
    with pytest.raises(SandboxUnavailableError, match=r"Operation not permitted|has version 0"):
        say("", sandbox())


def test_the_program_dies_with_the_thread_that_started_it() -> None:
    code = f"""
import time
from worker.sandbox import launch
folders = [{sys.base_prefix!r}, *launch.SYSTEM_FOLDERS]
sandbox = launch.Sandbox(allowed=[("run", folder) for folder in folders])
command = [{PYTHON!r}, "-I", "-S", "-c", "import time; time.sleep(60)"]
print(launch.start(command, sandbox, environment={{}}).pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    descriptor = os.pidfd_open(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        assert poll.poll(20_000), "it outlived its parent"
    finally:
        os.close(descriptor)


def test_the_script_imports_its_own_package_and_a_little_of_python() -> None:
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(launch.SCRIPT), "--"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    names = {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}
    ours = {name for name in names if name.partition(".")[0] in {"worker", "shared", "api"}}
    modules = ("confine", "kernel", "landlock", "limits", "seccomp", "system_calls")
    assert ours == {"worker", "worker.sandbox", *(f"worker.sandbox.{m}" for m in modules[1:])}
    assert not names & {"typing", "re", "pathlib", "json", "subprocess", "signal", "dataclasses"}


def test_a_call_in_the_processors_32_bit_mode_ends_the_process() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("there is no such mode here")
    # getpid by int 0x80, which would be another call in 64 bits.
    code = (
        "import ctypes, mmap\n"
        "page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "page.write(bytes.fromhex('b814000000cd80c3'))\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(at)()\n"
    )
    outside = subprocess.run([PYTHON, "-I", "-S", "-c", code], check=False).returncode
    if outside != 0:
        pytest.skip("this kernel has no 32-bit mode")
    assert say(code, sandbox())[0] == -signal.SIGSYS


def test_nothing_may_be_read_that_was_not_allowed(tmp_path: Path) -> None:
    (tmp_path / "readable").mkdir()
    for place in ("readable/file", "file"):
        (tmp_path / place).write_text("told")
    code = f"print(open({str(tmp_path)!r} + '/%sfile').read(), end='')"
    confined = sandbox(("read", tmp_path / "readable"), ("list", tmp_path))
    assert say(code % "readable/", confined) == (0, "told")
    assert say(code % "", confined) == (1, "")
