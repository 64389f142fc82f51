"""What traces cost a request, off and on: a part of `make bench-api`.

Three servers in turns: the API as it is by default, the same with the seam of traces patched out (untraced_app.py), and
the same with a collector that takes every span.
"""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

import httpx2
import psutil

from deploy.local.processes import RunningService
from tests.bench.api.load import load

if TYPE_CHECKING:
    from tests.bench.api.speed import Servers

ROUNDS = 16
ROUND_SECONDS = 1.0
SUBMISSIONS = 40


@dataclass
class Side:
    """One of the servers, and the processor time of each request, round by round, in microseconds."""

    name: str
    running: RunningService
    polls: list[float] = field(default_factory=list)
    submissions: list[float] = field(default_factory=list)

    def measure(self, job_id: str, upload_id: str) -> None:
        """Poll for a while, then submit some jobs."""
        port, process = int(self.running.service.name), psutil.Process(self.running.pid)
        before = _cpu_seconds(process)
        done = load(port, f"/v1/jobs/{job_id}", seconds=ROUND_SECONDS)
        between = _cpu_seconds(process)
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(SUBMISSIONS):
                client.post("/v1/jobs", json={"source": {"upload_id": upload_id}}).raise_for_status()
        self.polls.append(1e6 * (between - before) / done.requests)
        self.submissions.append(1e6 * (_cpu_seconds(process) - between) / SUBMISSIONS)


def traces(servers: Servers, job_id: str) -> None:
    """Compare the three."""
    if find_spec("opentelemetry") is None:
        print("\ntraces: not measured, the extra `telemetry` is not installed here; .venv-test has it")
        return
    # It decodes spans with a package of the extra.
    from tests.fixtures.network.collector import serve_collector

    with serve_collector() as collector:
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        patched_out = Side("patched out", servers.start("tests.bench.api.untraced_app:app", "/healthz"))
        sides = [
            patched_out,
            Side("off, the default", servers.start("api.wsgi:app", "/healthz")),
            Side("on", servers.start("api.wsgi:app", "/healthz", changes=on)),
        ]
        url = f"http://127.0.0.1:{patched_out.running.service.name}"
        upload_id = httpx2.post(f"{url}/v1/uploads", content=b"s\0ng").json()["upload_id"]
        for _ in range(ROUNDS):
            for side in random.sample(sides, len(sides)):
                side.measure(job_id, upload_id)
        assert collector.spans, "the third side sends spans"
    print("\ntraces: processor time of the server for each request, and its share of that with the seam patched out")
    for side in sides:
        polls, submissions = (_against(side, patched_out, kind) for kind in ("polls", "submissions"))
        print(f"  {side.name:18} poll {polls}   submission {submissions}")


def _against(side: Side, other: Side, kind: str) -> str:
    """Return the median, and the ratio to the other side's, round by round, so that noise hits both."""
    ratios = [a / b for a, b in zip(getattr(side, kind), getattr(other, kind), strict=True)]
    first, middle, third = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(getattr(side, kind)):5.0f} us, {middle:4.0%} ({first:.0%} to {third:.0%})"


def _cpu_seconds(process: psutil.Process) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in [process, *process.children(recursive=True)])
