"""The worker's side of a child process: starts it, sends it work, reads its events, measures its memory, ends it.

A child gets none of the worker's credentials and no more threads than its share. It leads a process group of its own,
so that everything it started ends with it. It runs in a sandbox (sandbox.py) from its first instruction.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import psutil
import structlog

from shared.errors import ScratchFullError
from worker.child.sandbox import Prepared, child_environment, child_sandbox
from worker.run_messages import Work
from worker.run_support.workspace import is_disk_full
from worker.sandbox import launch

log = structlog.get_logger(__name__)

JOBS, CHILDREN = "jobs", "children"
"""Folders below a worker's scratch folder: for the files of jobs, and for the homes of children."""

NICE = 10
"""The nice value of children. Lowering it slows down API calls while songs are separated."""

AUTOGROUP_TRIES = 5
"""How often setting the autogroup is tried: the kernel lets an unprivileged process do it ten times a second."""


class ChildGoneError(Exception):
    """The child has exited, or was killed by something other than this worker."""

    def __init__(self, return_code: int | None) -> None:
        super().__init__(f"the child exited with {return_code}")
        self.return_code = return_code


class ChildProcess:
    """One warm child. The kernel kills it when the thread that started it ends, so start it from a long-lived thread.

    It uses two folders below `scratch_folder`: `jobs_folder`, with the files of jobs, and a home of its own. The other
    arguments are those of sandbox.py. Raises SandboxUnavailableError, ScratchFullError.
    """

    def __init__(
        self,
        *,
        threads: int,
        scratch_folder: Path,
        model_folder: Path | None = None,
        extra_engines: Sequence[str] = (),
        ffmpeg_path: str | None = None,
        prepared: Prepared | None = None,
        readable: Sequence[Path] = (),
    ) -> None:
        self.jobs_done = 0
        self._pending = b""
        self.jobs_folder = scratch_folder / JOBS
        self._home = _make_folders(scratch_folder)
        try:
            if prepared:
                prepared.copy_to(self._home)
            self._process = launch.start(
                [sys.executable, "-m", "worker.child"],
                child_sandbox(
                    home=self._home,
                    jobs_folder=self.jobs_folder,
                    model_folder=model_folder,
                    extra_engines=extra_engines,
                    ffmpeg_path=ffmpeg_path,
                    readable=readable,
                ),
                environment=child_environment(threads=threads, home=self._home),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise
        self._output = cast(IO[bytes], self._process.stdout)
        os.set_blocking(self._output.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        _lower_priority(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def send_work(self, work: Work) -> None:
        """Send one separation to the child. Raises ChildGoneError."""
        stdin = cast(IO[bytes], self._process.stdin)
        try:
            stdin.write(json.dumps({"work": work.to_json()}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise ChildGoneError(self._process.poll()) from None

    def read_event(self, timeout_seconds: float) -> Mapping[str, Any] | None:
        """Return the next event, or None if none came in time. Raises ChildGoneError."""
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._pending:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                return None
            block = self._output.read(65536)
            if block == b"":
                raise ChildGoneError(self._process.wait())
            self._pending += block or b""
        line, _, self._pending = self._pending.partition(b"\n")
        return cast("Mapping[str, Any]", json.loads(line))

    def memory_bytes(self) -> int:
        """Return the resident memory of the child and of all processes that it started."""
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            child = psutil.Process(self._process.pid)
            for process in [child, *child.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total

    def end(self) -> None:
        """Kill the child and its process group, and wait for its end; may be called more than once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _make_folders(scratch_folder: Path) -> Path:
    """Create the folder for jobs and one for a new child. Return the latter. Raises ScratchFullError."""
    try:
        for name in (JOBS, CHILDREN):
            (scratch_folder / name).mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=scratch_folder / CHILDREN))
    except OSError as error:
        if is_disk_full(error):
            raise ScratchFullError from error
        raise


def _lower_priority(pid: int) -> None:
    """Let a new child, and what it will start, use only processor time that other processes leave."""
    with contextlib.suppress(OSError):
        # A batch process that wakes up does not preempt others.
        os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
        # Refused if the worker itself has a higher nice value, which its child inherits.
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    # If Linux schedules by sessions (sched(7), autogroup), a nice value counts only within its session. The weight of
    # the whole session is set here.
    group = Path(f"/proc/{pid}/autogroup")
    for _ in range(AUTOGROUP_TRIES):
        try:
            group.write_text(f"{NICE}")
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:
            log.debug("no autogroup", pid=pid)
            return
        else:
            return
