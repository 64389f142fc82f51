"""Starts, watches and stops services: programs with a check of whether they answer.

Each service runs in a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor, which stops the
services in order. The kernel kills the services if the supervisor dies. The output of a service goes line by line to a
function. service_plan.py says which services there are.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

_DIE_WITH_PARENT = str(Path(__file__).with_name("die_with_parent.py"))
_POLL_SECONDS = 0.1  # between two checks of a service that is starting; a check is one local connection


@dataclass(frozen=True)
class Service:
    """A program, and a check of whether it answers.

    `command` begins with an absolute path; `environment` is the complete environment of the program. `start_seconds`
    is how long it may take to answer, `stop_seconds` the time between SIGTERM and SIGKILL. Lines for which `is_noise`
    is true are not logged.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    answers: Callable[[], bool]
    start_seconds: float
    stop_seconds: float
    is_noise: Callable[[str], bool] = lambda _: False


def killed_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that runs the given one, and is killed by the kernel when the calling thread ends."""
    return [sys.executable, "-I", "-S", _DIE_WITH_PARENT, str(os.getpid()), *command]


class ServiceStartError(Exception):
    """A service ended while it was starting, or did not answer in time; the message is one sentence."""


class RunningService:
    """One run of a service: its process and the process group that it leads."""

    def __init__(self, service: Service, on_line: Callable[[str], None]) -> None:
        self.service = service
        self._process = subprocess.Popen(
            killed_with_parent(service.command),
            cwd=service.folder,
            env=dict(service.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # A daemon thread, since a grandchild that survives the group's kill could keep the pipe open.
        self._reader = Thread(target=self._forward_lines, args=(on_line,), name=f"log-{service.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while the process runs, negative if a signal ended it."""
        return self._process.poll()

    def wait_until_it_answers(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Return when the service answers, or when `should_stop` returns true.

        Raises ServiceStartError if the service ends or does not answer in time.
        """
        deadline = time.monotonic() + self.service.start_seconds
        while not should_stop():
            if (exit_code := self.exit_code) is not None:
                self._reader.join(timeout=1)  # so that its last lines are logged
                raise ServiceStartError(f"{self.service.name} exited with code {exit_code} while starting")
            if self.service.answers():
                return
            if time.monotonic() > deadline:
                limit = self.service.start_seconds
                raise ServiceStartError(f"{self.service.name} did not answer within {limit:.0f} s")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Send SIGTERM, wait up to `stop_seconds`, then kill the process group."""
        if self.exit_code is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self.service.stop_seconds)
        self.kill()
        self._reader.join(timeout=1)

    def kill(self) -> None:
        """Kill the process group at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _forward_lines(self, on_line: Callable[[str], None]) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        with self._process.stdout as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                if not self.service.is_noise(text):
                    on_line(text)
