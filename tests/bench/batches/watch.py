"""Reads a batch again and again, and beside it a route that asks nobody, in a process of its own.

What the machine does to both of them is not the batch's; what is left over is. So is processor time, which no other
program adds to.
"""

from __future__ import annotations

import itertools
import json
import select
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from tests.fault.support.deployment import Deployment

PAUSE_SECONDS = 0.1
"""Between two reads; twenty times as often as the API advises. What comes ten times as often finds the processor's
caches as it left them while nothing else runs, and never while songs do: that takes it half as long again."""


@dataclass(frozen=True)
class Look:
    """Medians of some reads in milliseconds, and what a tenth of them passed.

    `cpu_ms` is what one read of each route took of processors in the API.
    """

    batch_ms: float
    batch_slow_ms: float
    control_ms: float
    cpu_ms: float
    reads: int
    refused: int = 0

    def against(self, idle: Look) -> str:
        """Tell this look beside an idle one."""
        return (
            f"{idle.batch_ms:.2f} -> {self.batch_ms:.2f} ms: {self.batch_ms / idle.batch_ms:.2f} times (goal: 1.5), "
            f"a tenth takes {idle.batch_slow_ms:.2f} -> {self.batch_slow_ms:.2f} ms or more; "
            f"/healthz beside it {idle.control_ms:.2f} -> {self.control_ms:.2f} ms: "
            f"{self.control_ms / idle.control_ms:.2f} times; processor of the API for both "
            f"{idle.cpu_ms:.2f} -> {self.cpu_ms:.2f} ms: {self.cpu_ms / idle.cpu_ms:.2f} times; "
            f"{self.reads} reads, {self.refused} refused"
        )


class Watch:
    """A process that reads from now on until `stop`."""

    def __init__(self, deployment: Deployment, batch_id: str) -> None:
        assert deployment.api
        self._pid = deployment.api.pid
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.batches.watch", str(deployment.client.base_url), batch_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self._process.stdout.readline()
        self._cpu = _cpu_seconds(self._pid)

    def stop(self) -> Look:
        """Return what was read until now."""
        told, _ = self._process.communicate("stop\n", timeout=60)
        (batch, control), refused = json.loads(told)
        cpu = _cpu_seconds(self._pid) - self._cpu
        return Look(
            batch_ms=statistics.median(batch),
            batch_slow_ms=statistics.quantiles(batch, n=10)[-1],
            control_ms=statistics.median(control),
            cpu_ms=1000 * cpu / len(batch),
            reads=len(batch),
            refused=refused,
        )


def look(deployment: Deployment, batch_id: str, *, seconds: float = 10.0) -> Look:
    """Read for some seconds."""
    watch = Watch(deployment, batch_id)
    time.sleep(seconds)
    return watch.stop()


def api_cpu_seconds(deployment: Deployment) -> float:
    """Return what the API has used of processors."""
    assert deployment.api
    return _cpu_seconds(deployment.api.pid)


def api_peak_bytes(deployment: Deployment) -> int:
    """Return the most memory that a process of the API had resident, ever."""
    assert deployment.api
    children = psutil.Process(deployment.api.pid).children(recursive=True)
    return max(_peak_bytes(process.pid) for process in children)


def _peak_bytes(pid: int) -> int:
    with Path(f"/proc/{pid}/status").open() as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def _cpu_seconds(pid: int) -> float:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(p.cpu_times()[:2]) for p in processes)


def main() -> None:
    """Read until a line comes in; print milliseconds of the one route and of the other, and how many were refused."""
    url, batch_id = sys.argv[1:]
    refused = 0
    taken: dict[str, list[float]] = {f"/v1/batches/{batch_id}": [], "/healthz": []}
    with httpx2.Client(base_url=url, timeout=60) as client:
        # What a first connection costs is no read.
        client.get("/healthz")
        print("begins", flush=True)
        turns = itertools.cycle(taken.items())
        # The routes take turns, so that neither finds the processor's caches as the other left them a moment ago.
        while not select.select([sys.stdin], [], [], PAUSE_SECONDS / len(taken))[0]:
            path, milliseconds = next(turns)
            begun = time.perf_counter()
            refused += client.get(path).is_error
            milliseconds.append(1000 * (time.perf_counter() - begun))
    print(json.dumps([list(taken.values()), refused]))


if __name__ == "__main__":
    main()
