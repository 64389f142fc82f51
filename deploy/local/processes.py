"""A service is a program to run, with the question that tells when it answers; here one is started and stopped.

Each runs in a session of its own, so that a Ctrl-C in the terminal reaches the supervisor alone and the order
of stopping is ours; and each dies with the supervisor, however that dies. What a service prints goes line by
line to a function. Knows nothing of what the services are.
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
_POLL_SECONDS = 0.1  # between two looks at a service that starts; a look is one local connection


@dataclass(frozen=True)
class Service:
    """A program, and how to tell that it answers.

    `command` starts with an absolute path; `environment` is all that the program gets.
    `start_seconds` is how long it may take to answer, `stop_seconds` how long from SIGTERM to SIGKILL.
    `is_noise` tells which of its lines nobody wants to read.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    answers: Callable[[], bool]
    start_seconds: float
    stop_seconds: float
    is_noise: Callable[[str], bool] = lambda _: False


def dying_with_us(command: Sequence[str]) -> list[str]:
    """Return the command such that the kernel kills it when this thread's process dies."""
    return [sys.executable, "-I", "-S", _DIE_WITH_PARENT, str(os.getpid()), *command]


class ServiceStartError(Exception):
    """A service ended, or did not answer in time; the message says which, in one sentence."""


class RunningService:
    """One run of a service, from its start until its process group is gone."""

    def __init__(self, service: Service, on_line: Callable[[str], None]) -> None:
        self.service = service
        self._process = subprocess.Popen(
            dying_with_us(service.command),
            cwd=service.folder,
            env=dict(service.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # A daemon, since a grandchild that outlives the group's kill could hold the pipe open.
        self._reader = Thread(target=self._read, args=(on_line,), name=f"log-{service.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id, which is also the group's."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    def wait_until_it_answers(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Return once it answers or `should_stop` says so; raise ServiceStartError if it ends or is too late."""
        deadline = time.monotonic() + self.service.start_seconds
        while not should_stop():
            if (exit_code := self.exit_code) is not None:
                self._reader.join(timeout=1)  # its last words say why
                raise ServiceStartError(f"{self.service.name} exited with code {exit_code} while starting")
            if self.service.answers():
                return
            if time.monotonic() > deadline:
                limit = self.service.start_seconds
                raise ServiceStartError(f"{self.service.name} did not answer within {limit:.0f} s")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask the program to end, then kill what is left of its group."""
        if self.exit_code is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self.service.stop_seconds)
        self.kill()
        self._reader.join(timeout=1)

    def kill(self) -> None:
        """End the whole group at once, whatever it does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self, on_line: Callable[[str], None]) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        with self._process.stdout as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                if not self.service.is_noise(text):
                    on_line(text)
