"""`make run`: Valkey, SeaweedFS, API and worker under one supervisor, until it is told to stop.

The log goes to standard error. On standard output stands one line, `ready URL`, once a job would be taken.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import FrameType

from deploy.local.console import Console
from deploy.local.processes import RunningService, Service, ServiceStartError, dying_with_us
from deploy.local.service_plan import PortTakenError, api_url, plan_programs, plan_servers
from deploy.local.stack_lock import AlreadyRunningError, hold_stack_lock
from shared.settings import Settings, read_settings

# A program that ends is started again after 1, 2, 4, … seconds; the count starts anew once it has held for a minute.
_LONGEST_PAUSE_SECONDS = 30.0
_HELD_SECONDS = 60.0

_LOOK_SECONDS = 0.2  # between two looks at what was asked of us while something else is under way

# Those who make work stop before those who keep it.
_STOP_ORDER = ("api", "worker", "storage", "valkey")


@dataclass
class _Watched:
    running: RunningService
    started_at: float = field(default_factory=time.monotonic)
    losses: int = 0
    starts_again_at: float | None = None


class Stack:
    """The programs of one stack: starts them, starts again what ends, stops them in order."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.url = api_url(settings)
        self.stopping = Event()
        self._settings = settings
        self._console = console
        self._watched: dict[str, _Watched] = {}

    def start(self) -> None:
        """Start everything; return when jobs are accepted or `stopping` is set.

        Raises PortTakenError, ServiceStartError.
        """
        servers, told = plan_servers(self._settings)
        programs = plan_programs(self._settings, told)
        for group in (servers, programs):
            if self.stopping.is_set():
                return
            for service in group:
                self._watched[service.name] = _Watched(self._run(service))
            if group is servers:
                self._set_up_models()  # while they start
            for service in group:
                self._watched[service.name].running.wait_until_it_answers(self.stopping.is_set)

    def look_after(self) -> None:
        """Start again what has ended; to be called several times a second."""
        now = time.monotonic()
        for name, watched in self._watched.items():
            exit_code = watched.running.exit_code
            if exit_code is None:
                continue
            if watched.starts_again_at is None:
                watched.running.kill()  # what it left behind
                watched.losses = 0 if now - watched.started_at > _HELD_SECONDS else watched.losses
                pause_seconds = min(2.0**watched.losses, _LONGEST_PAUSE_SECONDS)
                watched.losses += 1
                watched.starts_again_at = now + pause_seconds
                self._say(f"{name} exited with code {exit_code}; restarting in {pause_seconds:.0f} s")
            elif now >= watched.starts_again_at:
                watched.running = self._run(watched.running.service)
                watched.started_at, watched.starts_again_at = now, None

    def stop(self) -> None:
        """Stop everything, each program in its turn; at the latest after the sum of their `stop_seconds`."""
        self._say("stopping")
        for name in _STOP_ORDER:
            if name in self._watched:
                self._watched[name].running.stop()
        self._say("stopped")

    def kill(self) -> None:
        """End everything at once."""
        for watched in self._watched.values():
            watched.running.kill()

    def stop_on_signals(self) -> None:
        """Let SIGINT, SIGTERM and SIGHUP set `stopping`; whoever asks twice is in a hurry."""

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            if self.stopping.is_set():
                self.kill()
            self.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, on_signal)

    def _set_up_models(self) -> None:
        """Build networks and compile loops for this machine if they are not there: 15 s once, 0.6 s from then on.

        Without them the stack runs as well, with fewer engines.
        """
        command = [sys.executable, *_module_with_onnx("worker.model_setup"), f"--cache={self._settings.model_folder}"]
        with subprocess.Popen(
            dying_with_us(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            said = self._until_it_ends(process)
        for line in said.splitlines()[-1:]:
            self._say(line)

    def _until_it_ends(self, process: subprocess.Popen[str]) -> str:
        """Return what a process has said once it ends; one that is still at it when we are to stop is killed."""
        while True:
            try:
                return process.communicate(timeout=_LOOK_SECONDS)[0]
            except subprocess.TimeoutExpired:
                if self.stopping.is_set():
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    return ""

    def _run(self, service: Service) -> RunningService:
        return RunningService(service, lambda line: self._console.write(service.name, line))

    def _say(self, line: str) -> None:
        self._console.write("stack", line)


def _module_with_onnx(module: str) -> tuple[str, ...]:
    """Return Python's arguments to run a module where `onnx` is installed: here, or else in `.venv-models`."""
    is_here = importlib.util.find_spec("onnx") is not None
    return ("-m", module) if is_here else ("-m", "deploy.local.bootstrap", "models", "-m", module)


def stack_settings() -> Settings:
    """Return the settings with absolute folders, or end with a line for each that is wrong."""
    settings = read_settings("make")
    return settings.model_copy(update={"state_folder": Path(settings.state_folder).absolute()})


def run_stack(
    settings: Settings, console: Console, use: Callable[[Stack], int], announce: Callable[[], None] = lambda: None
) -> int:
    """Start a stack, call `use` with it, stop it whatever happens, and return what `use` did.

    `announce` is called before the start, if no other stack of this clone runs.

    Raises AlreadyRunningError, PortTakenError, ServiceStartError.
    """
    stack = Stack(settings, console)
    with hold_stack_lock(settings.state_folder, stack.url):
        announce()
        stack.stop_on_signals()
        try:
            stack.start()
            return use(stack)
        finally:
            stack.stop()


def main() -> None:
    """Run the stack until a signal stops it."""
    sys.exit(_main())


def _main() -> int | str:
    def look_after_it(stack: Stack) -> int:
        if not stack.stopping.is_set():
            print(f"ready {stack.url}", flush=True)
        while not stack.stopping.wait(0.2):
            stack.look_after()
        return 0

    try:
        return run_stack(stack_settings(), Console(sys.stderr), look_after_it)
    except (AlreadyRunningError, PortTakenError, ServiceStartError) as error:
        return f"make: {error}"


if __name__ == "__main__":
    main()
