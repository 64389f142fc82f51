"""How two processes of the API share a client's connections, and what that is worth: a part of `make bench-api`.

Both ways to accept, on the bare route and on a poll, in turns: a round's lesser share of 8 connections, and its rate.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from deploy.local.processes import RunningService
from tests.bench.api.load import load

if TYPE_CHECKING:
    from tests.bench.api.speed import Servers

ROUNDS = 20
ROUND_SECONDS = 0.5
CONNECTIONS = 8
WAYS = {"greedy": "tests.bench.api.greedy_worker.GreedyWorker", "fair": "api.server.gunicorn_worker.ProblemWorker"}


@dataclass
class Side:
    """A route and a way to accept; what was measured of it."""

    running: RunningService
    path: str
    lesser: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Ask for a while; look at the connections half way."""
        port = int(self.running.service.name)
        looking = threading.Thread(target=self._look, args=(port,))
        looking.start()
        self.rates.append(load(port, self.path, seconds=ROUND_SECONDS, connections=CONNECTIONS).per_second)
        looking.join()

    def _look(self, port: int) -> None:
        time.sleep(ROUND_SECONDS / 2)
        self.lesser.append(min(held(self.running, port)))


def held(running: RunningService, port: int) -> list[int]:
    """Return how many connections each process of a server holds."""
    processes = psutil.Process(running.pid).children()
    return [
        sum(c.status == psutil.CONN_ESTABLISHED and c.laddr.port == port for c in process.net_connections("tcp"))
        for process in processes
    ]


def spread(servers: Servers, job_id: str) -> None:
    """Compare both ways, with two processes each."""
    routes = {"bare route": ("tests.bench.api.bare_app:app", "/bare"), "poll": ("api.wsgi:app", f"/v1/jobs/{job_id}")}
    sides = {}
    for route, (app, path) in routes.items():
        for way, worker in WAYS.items():
            answers = path if path == "/bare" else "/healthz"
            sides[route, way] = Side(servers.start(app, answers, processes=2, worker=worker), path)
    for _ in range(ROUNDS):
        for side in random.sample(list(sides.values()), len(sides)):
            side.measure()
    print(f"\ntwo processes: of {CONNECTIONS} connections the lesser share, and requests/s, over {ROUNDS} rounds")
    for (route, way), side in sides.items():
        rates = f"{statistics.median(side.rates):6.0f}/s, least {min(side.rates):6.0f}/s"
        ratio = statistics.median(a / b for a, b in zip(side.rates, sides["bare route", way].rates, strict=True))
        shares = " ".join(f"{n}:{side.lesser.count(n)}" for n in range(CONNECTIONS // 2 + 1))
        print(f"  {route:10} {way:6} share {shares}   {rates}, {ratio:4.0%} of the bare route")
