"""Starting and stopping services, with small programs as the services."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.processes import RunningService, Service, ServiceStartError


def _service(tmp_path: Path, program: str, answers: Callable[[], bool] = lambda: True, **limits: float) -> Service:
    return Service(
        name="program",
        command=(sys.executable, "-I", "-c", program),
        folder=tmp_path,
        environment={"ANSWER": "42"},
        answers=answers,
        start_seconds=limits.get("start_seconds", 20),
        stop_seconds=limits.get("stop_seconds", 20),
    )


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited 20 s in vain"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def test_what_a_service_prints_arrives_line_by_line_from_both_streams(tmp_path: Path) -> None:
    lines: list[str] = []
    program = "import os, sys; print(os.environ['ANSWER']); sys.stdout.flush(); sys.stderr.write('no newline')"
    running = RunningService(_service(tmp_path, program), lines.append)
    _wait_for(lambda: running.exit_code is not None)
    running.stop()
    assert lines == ["42", "no newline"]


def test_a_service_that_ends_at_its_start_is_told_with_its_exit_code(tmp_path: Path) -> None:
    running = RunningService(_service(tmp_path, "raise SystemExit(7)", lambda: False), lambda _: None)
    with pytest.raises(ServiceStartError, match="program exited with code 7"):
        running.wait_until_it_answers()
    running.stop()


def test_a_service_that_never_answers_is_given_up(tmp_path: Path) -> None:
    service = _service(tmp_path, "import time; time.sleep(60)", lambda: False, start_seconds=0.1)
    running = RunningService(service, lambda _: None)
    with pytest.raises(ServiceStartError, match="did not answer"):
        running.wait_until_it_answers()
    running.stop()
    assert not _is_alive(running.pid)


def test_a_service_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    program = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-I', '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    lines: list[str] = []
    running = RunningService(_service(tmp_path, program, stop_seconds=0.2), lines.append)
    _wait_for(lambda: bool(lines))
    running.stop()
    assert running.exit_code == -signal.SIGKILL
    _wait_for(lambda: not _is_alive(int(lines[0])))


def test_a_service_dies_with_a_supervisor_that_is_killed() -> None:
    supervisor_program = """
import sys, time
from pathlib import Path
from deploy.local.processes import RunningService, Service
service = Service("program", (sys.executable, "-I", "-c", "import time; time.sleep(60)"), Path("/"), {}, bool, 1, 1)
print(RunningService(service, print).pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", supervisor_program], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        pid = int(supervisor.stdout.readline())
        assert _is_alive(pid)
        os.kill(supervisor.pid, signal.SIGKILL)
    _wait_for(lambda: not _is_alive(pid))
