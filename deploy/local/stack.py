"""`make run`: runs Valkey, SeaweedFS, API and worker under one supervisor, until a signal stops it.

The log goes to standard error. When the stack accepts jobs, one line is written to standard output: `ready URL`.
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
from deploy.local.processes import RunningService, Service, ServiceStartError, killed_with_parent
from deploy.local.service_plan import PortTakenError, api_url, plan_programs, plan_servers
from deploy.local.stack_lock import AlreadyRunningError, hold_stack_lock
from shared.settings import Settings, read_settings

# A service that ends is restarted after 1, 2, 4, … seconds. After a minute without an exit the count begins anew.
_MAX_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 60.0

_POLL_SECONDS = 0.2  # between two checks of whether to stop, or of whether a service has ended

# Services that use the servers stop before the servers.
_STOP_ORDER = ("api", "worker", "storage", "valkey")


@dataclass
class _SupervisedService:
    running: RunningService
    started_at: float = field(default_factory=time.monotonic)
    exits: int = 0
    restart_at: float | None = None


class Stack:
    """The services of one stack: starts them, restarts those that end, and stops them in order."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.url = api_url(settings)
        self.stopping = Event()
        self._settings = settings
        self._console = console
        self._services: dict[str, _SupervisedService] = {}

    def start(self) -> None:
        """Start the services; return when jobs are accepted or `stopping` is set.

        Raises PortTakenError, ServiceStartError.
        """
        servers, server_variables = plan_servers(self._settings)
        programs = plan_programs(self._settings, server_variables)
        for group in (servers, programs):
            if self.stopping.is_set():
                return
            for service in group:
                self._services[service.name] = _SupervisedService(self._start_service(service))
            if group is servers:
                self._set_up_models()  # while they start
            for service in group:
                self._services[service.name].running.wait_until_it_answers(self.stopping.is_set)

    def restart_ended(self) -> None:
        """Restart services that have ended. Call it several times a second."""
        now = time.monotonic()
        for name, service in self._services.items():
            exit_code = service.running.exit_code
            if exit_code is None:
                continue
            if service.restart_at is None:
                service.running.kill()  # kills processes that it left behind
                service.exits = 0 if now - service.started_at > _STABLE_SECONDS else service.exits
                pause_seconds = min(2.0**service.exits, _MAX_PAUSE_SECONDS)
                service.exits += 1
                service.restart_at = now + pause_seconds
                self._log(f"{name} exited with code {exit_code}; restarting in {pause_seconds:.0f} s")
            elif now >= service.restart_at:
                service.running = self._start_service(service.running.service)
                service.started_at, service.restart_at = now, None

    def stop(self) -> None:
        """Stop the services one after another; this takes at most the sum of their `stop_seconds`."""
        self._log("stopping")
        for name in _STOP_ORDER:
            if name in self._services:
                self._services[name].running.stop()
        self._log("stopped")

    def kill(self) -> None:
        """Kill all services at once."""
        for service in self._services.values():
            service.running.kill()

    def stop_on_signals(self) -> None:
        """Let SIGINT, SIGTERM and SIGHUP set `stopping`; a second signal kills all services."""

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            if self.stopping.is_set():
                self.kill()
            self.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, on_signal)

    def _set_up_models(self) -> None:
        """Build the networks and compile the loops for this machine: 15 s the first time, 0.6 s later.

        If that fails, the stack runs with fewer engines.
        """
        command = [sys.executable, *_module_with_onnx("worker.model_setup"), f"--cache={self._settings.model_folder}"]
        with subprocess.Popen(
            killed_with_parent(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            output = self._wait_for_output(process)
        for line in output.splitlines()[-1:]:
            self._log(line)

    def _wait_for_output(self, process: subprocess.Popen[str]) -> str:
        """Return the output of a process when it ends. Kill it, and return nothing, if `stopping` is set before."""
        while True:
            try:
                return process.communicate(timeout=_POLL_SECONDS)[0]
            except subprocess.TimeoutExpired:
                if self.stopping.is_set():
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    return ""

    def _start_service(self, service: Service) -> RunningService:
        return RunningService(service, lambda line: self._console.write_line(service.name, line))

    def _log(self, line: str) -> None:
        self._console.write_line("stack", line)


def _module_with_onnx(module: str) -> tuple[str, ...]:
    """Return Python's arguments to run a module where `onnx` is installed: here, or else in `.venv-models`."""
    is_here = importlib.util.find_spec("onnx") is not None
    return ("-m", module) if is_here else ("-m", "deploy.local.bootstrap", "models", "-m", module)


def stack_settings() -> Settings:
    """Return the settings, with an absolute state folder. Invalid settings end the program with a line for each."""
    settings = read_settings("make")
    return settings.model_copy(update={"state_folder": Path(settings.state_folder).absolute()})


def run_stack(
    settings: Settings, console: Console, use: Callable[[Stack], int], announce: Callable[[], None] = lambda: None
) -> int:
    """Start a stack, call `use` with it, stop it in any case, and return the result of `use`.

    `announce` is called before the start, if no other stack of this clone is running.

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
    def supervise(stack: Stack) -> int:
        if not stack.stopping.is_set():
            print(f"ready {stack.url}", flush=True)
        while not stack.stopping.wait(_POLL_SECONDS):
            stack.restart_ended()
        return 0

    try:
        return run_stack(stack_settings(), Console(sys.stderr), supervise)
    except (AlreadyRunningError, PortTakenError, ServiceStartError) as error:
        return f"make: {error}"


if __name__ == "__main__":
    main()
