"""The supervisor's side of a child: start it, give it work, hear it, measure it, end it.

Owns the process and its pipes; owns no job. A child gets none of the worker's credentials and no more threads
than its share; it leads a process group of its own, so that what it started ends with it. It runs in a sandbox
(child_sandbox.py), on from before its first instruction.
"""

from __future__ import annotations

import contextlib
import errno
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
from worker.child_sandbox import Prepared, child_environment, child_sandbox
from worker.sandbox import launch
from worker.work import Work

log = structlog.get_logger(__name__)

JOBS, CHILDREN = "jobs", "children"
"""Folders below a worker's scratch folder: one for the files of jobs, one for what each child keeps."""

NICE = 10
"""Separation yields to whatever answers people; lowering it makes polls slower while songs are worked on."""

AUTOGROUP_TRIES = 5
"""How often the kernel is told that; it hears an unprivileged process ten times a second at most."""


class ChildGoneError(Exception):
    """The child ended by itself or was killed by somebody else."""

    def __init__(self, return_code: int | None) -> None:
        super().__init__(f"the child ended with {return_code}")
        self.return_code = return_code


class ChildProcess:
    """One warm child. Start it from a thread that lives as long as it should: the kernel ties their lives.

    It works in two folders below `scratch_folder`: `jobs_folder`, where jobs keep their files, and one of its own. The
    other arguments are those of child_sandbox.py. Raises SandboxUnavailableError or ScratchFullError.
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
        _make_yield(self._process.pid)

    @property
    def pid(self) -> int:
        """The process's id, which is also its group's."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def give(self, work: Work) -> None:
        """Hand over one separation. Raises ChildGoneError."""
        stdin = cast(IO[bytes], self._process.stdin)
        try:
            stdin.write(json.dumps({"work": work.to_json()}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise ChildGoneError(self._process.poll()) from None

    def hear(self, timeout_seconds: float) -> Mapping[str, Any] | None:
        """Return the next event, or None when none came in time. Raises ChildGoneError."""
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
        """Return the resident memory of the child and of all that it started."""
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            child = psutil.Process(self._process.pid)
            for process in [child, *child.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total

    def end(self) -> None:
        """Kill the child and its whole group, and wait until it is gone; may be called more than once."""
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
    """Make the folder for jobs and one for a new child, and return the latter. Raises ScratchFullError."""
    try:
        for name in (JOBS, CHILDREN):
            (scratch_folder / name).mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=scratch_folder / CHILDREN))
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ScratchFullError("The worker's scratch disk is full.") from error
        raise


def _make_yield(pid: int) -> None:
    """Let a new child, and what it will start, have processors only as far as others leave them."""
    with contextlib.suppress(OSError):
        # One that wakes up then never interrupts what runs.
        os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
        # Refused where the worker itself is nicer, which its child then is too.
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    # Where Linux shares processors out by sessions (sched(7), autogroup), a nice value counts within its session alone,
    # and what a session gets beside others is told here.
    group = Path(f"/proc/{pid}/autogroup")
    for _ in range(AUTOGROUP_TRIES):
        try:
            group.write_text(f"{NICE}")
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:
            log.debug("no session of its own to be made yielding", pid=pid)
            return
        else:
            return
