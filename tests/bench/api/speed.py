"""How cheap polling and submitting are: `make bench-api`.

Prints both sides of each comparison, measured in turns, so that a busy machine slows both:

- `GET /v1/jobs/<id>` against a bare Flask route that reads one Redis key, on the same server settings (goal: 60 %);
- the same with 100 event streams open and an upload under way, against without (goal: 80 %);
- two processes under a client's connections (spread.py), alone by `spread` as the argument;
- traces off and on, against the API without them (traces.py), alone by `traces` as the argument;
- `POST /v1/jobs` by `upload_id` with 10,000 jobs queued, against an empty queue (goal: 1.5 times at most).
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import httpx2
import psutil

from deploy.local.processes import RunningService, Service
from shared.api_keys import ApiKeys
from shared.jobs.claims import Claim
from shared.jobs.request import JobRequest, Source
from shared.settings import Settings
from tests.bench.api.load import load
from tests.bench.api.spread import spread
from tests.bench.api.traces import traces
from tests.fixtures.api import ENGINE, StandIn
from tests.fixtures.beside import beside
from tests.fixtures.ports import find_free
from tests.fixtures.servers import make_storage, make_valkey

ROUNDS = 12
ROUND_SECONDS = 1.0
COMPANY_ROUNDS = 6
BEAT_SECONDS = 1.0
STREAMS = 100
QUEUED = 10_000
SUBMISSIONS = 60


class Servers:
    """Valkey, SeaweedFS, the API and the bare route, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.valkey, self.storage = make_valkey(folder / "valkey"), make_storage(folder / "storage")
        self.valkey.start()
        self.storage.start()
        self.settings = Settings(redis_url=self.valkey.url, **self.storage.settings())
        self.stand_in = StandIn(self.settings)
        self.stand_in.announce()
        self.stand_in.store._redis.set("bare", "1")
        _, self.key = ApiKeys(self.settings).create(owner="local", scopes=["submit", "read"])
        self._folder, self._started = folder, list[RunningService]()
        self.api = self.start("api.wsgi:app", "/healthz")
        self.bare = self.start("tests.bench.api.bare_app:app", "/bare")

    def close(self) -> None:
        """End them all."""
        for running in self._started:
            running.kill()
        self.storage.kill()
        self.valkey.kill()

    @staticmethod
    def port(running: RunningService) -> int:
        """Return where a server listens."""
        return int(running.service.name)

    def start(
        self,
        app: str,
        path: str,
        *,
        processes: int = 1,
        worker: str = "api.server.gunicorn_worker.ProblemWorker",
        changes: Mapping[str, str] = MappingProxyType({}),
    ) -> RunningService:
        """Start an application; the path tells that it answers. One process, so that rates are of one core."""
        port = find_free()
        environment = {
            **os.environ,
            **{name.upper(): str(value) for name, value in self.storage.settings().items()},
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "REDIS_URL": self.valkey.url,
            "API_PORT": str(port),
            "MAX_REQUESTS_PER_MINUTE": "1000000000",
            "LOG_LEVEL": "WARNING",
            "API_PROCESSES": str(processes),
            **changes,
        }
        command = (sys.executable, "-m", "gunicorn", "-c", "python:api.server.gunicorn_conf", "-k", worker, app)
        url = f"http://127.0.0.1:{port}{path}"
        service = Service(
            name=str(port),
            command=command,
            folder=self._folder,
            environment=environment,
            answers=lambda: _answers(url),
            start_seconds=60,
            stop_seconds=20,
        )
        running = RunningService(service, print)
        self._started.append(running)
        running.wait_until_it_answers()
        return running


@dataclass
class Side:
    """One of those that are compared: what it asks, of whom, and what was measured of it, round by round."""

    name: str
    running: RunningService
    path: str
    headers: str = ""
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Ask for a while."""
        before = _cpu_seconds(self.running)
        done = load(Servers.port(self.running), self.path, seconds=ROUND_SECONDS, headers=self.headers)
        self.rates.append(done.per_second)
        self.costs.append(1e6 * (_cpu_seconds(self.running) - before) / done.requests)

    def against(self, other: Side) -> str:
        """Tell the rate, the cost, and both as shares of the other side's, round by round, so that noise hits both."""
        rate = statistics.median(a / b for a, b in zip(self.rates, other.rates, strict=True))
        cost = statistics.median(b / a for a, b in zip(self.costs, other.costs, strict=True))
        return (
            f"{self.name:16} {statistics.median(self.rates):6.0f}/s, {rate:4.0%}   "
            f"{statistics.median(self.costs):4.0f} us of processor time, {cost:4.0%}"
        )


def polling(servers: Servers, running: str, done: str) -> None:
    """Compare polls with the bare route, in turns."""
    key = f"Authorization: Bearer {servers.key}\r\n"
    bare = Side("bare route", servers.bare, "/bare")
    sides = [
        bare,
        Side("running", servers.api, f"/v1/jobs/{running}"),
        Side("running, key", servers.api, f"/v1/jobs/{running}", key),
        Side("finished", servers.api, f"/v1/jobs/{done}"),
        Side("finished, key", servers.api, f"/v1/jobs/{done}", key),
    ]
    for _ in range(ROUNDS):
        # In another order each time: what the machine does every few seconds would always hit the same side.
        for side in random.sample(sides, len(sides)):
            side.measure()
    print("\npolling a job: requests/s and processor time of the server for each, as shares of the bare route's")
    for side in sides:
        print(f"  {side.against(bare)}")


def polling_in_company(servers: Servers, claim: Claim) -> None:
    """Compare polls with and without event streams and an upload, in turns; the job moves on all the while."""
    port, path = servers.port(servers.api), f"/v1/jobs/{claim.job.id}"
    url = f"http://127.0.0.1:{port}"
    shares, rates = [], []
    with moving(servers.stand_in, claim):
        for _ in range(COMPANY_ROUNDS):
            before = load(port, path, seconds=ROUND_SECONDS).per_second
            with open_streams(url, claim.job.id), upload_under_way(url):
                crowded = load(port, path, seconds=ROUND_SECONDS).per_second
            # The server finds out that a stream's client is gone when it has something to tell.
            time.sleep(3 * BEAT_SECONDS)
            after = load(port, path, seconds=ROUND_SECONDS).per_second
            shares.append(2 * crowded / (before + after))
            rates.append(crowded)
    print(f"\npolling with {STREAMS} event streams open and an upload under way, against before and after")
    middle, low, high = statistics.median(shares), min(shares), max(shares)
    print(f"  {statistics.median(rates):6.0f}/s, {middle:.0%} ({low:.0%} to {high:.0%})")


def submitting(servers: Servers) -> None:
    """Compare the latency of submissions with a long queue and without."""
    url = f"http://127.0.0.1:{servers.port(servers.api)}"
    with httpx2.Client(base_url=url) as client:
        upload = client.post("/v1/uploads", content=b"s\0ng").json()["upload_id"]

        def submit() -> None:
            assert client.post("/v1/jobs", json={"source": {"upload_id": upload}}).status_code == 202

        idle = _milliseconds(submit)
        request = JobRequest(source=Source("uploads/x", "x.wav", 1), engine="repetition")
        for _ in range(QUEUED):
            servers.stand_in.store.submit(request)
        full = _milliseconds(submit)
    print("\nsubmitting by upload_id, median")
    print(f"  empty queue {idle:5.1f} ms, {QUEUED:,} jobs queued {full:5.1f} ms: {full / idle:.2f} times")


@contextlib.contextmanager
def moving(worker: StandIn, claim: Claim) -> Iterator[None]:
    """Tell of the job's progress, as its worker would."""

    def beat(over: threading.Event) -> None:
        progress = 0.4
        while not over.wait(BEAT_SECONDS):
            progress += 0.0001
            worker.store.claims.renew(claim, stage="separate", progress=progress)

    with beside(beat):
        yield


@contextlib.contextmanager
def open_streams(url: str, job_id: str) -> Iterator[None]:
    """Hold event streams open, one connection each."""
    with contextlib.ExitStack() as stack:
        limits = httpx2.Limits(max_connections=STREAMS + 1)
        client = stack.enter_context(httpx2.Client(base_url=url, limits=limits, timeout=30))
        for _ in range(STREAMS):
            stream = stack.enter_context(client.stream("GET", f"/v1/jobs/{job_id}/events"))
            assert stream.status_code == 200, stream.status_code
        yield


@contextlib.contextmanager
def upload_under_way(url: str) -> Iterator[None]:
    """Send a song at 8 MB a second."""

    def send(over: threading.Event) -> None:
        blocks = (bytes(400_000) for _ in iter(lambda: over.wait(0.05), True))
        httpx2.post(f"{url}/v1/uploads", content=blocks, timeout=60)

    with beside(send):
        yield


def _milliseconds(call: Callable[[], None]) -> float:
    taken = []
    for _ in range(SUBMISSIONS):
        begun = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken)


def _cpu_seconds(running: RunningService) -> float:
    processes = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    return sum(sum(p.cpu_times()[:2]) for p in processes)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.HTTPError:
        return False


def main() -> None:
    """Measure everything once."""
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            source = Source("uploads/x", "A song with a name.mp3", 9_000_000, "ab" * 32, '"e"')
            request = JobRequest(source=source, engine=ENGINE["name"], preset="original", metadata={"album": 7})
            running, done = (servers.stand_in.store.submit(request).id for _ in range(2))
            servers.stand_in.queue.dispatch()
            claim = servers.stand_in.claim(running)
            servers.stand_in.store.claims.renew(claim, stage="separate", progress=0.4)
            servers.stand_in.succeed(done)
            if parts := [part for part in (spread, traces) if part.__name__ in sys.argv[1:]]:
                for part in parts:
                    part(servers, running)
                return
            polling(servers, running, done)
            polling_in_company(servers, claim)
            submitting(servers)
            spread(servers, running)
            traces(servers, running)
        finally:
            servers.close()


if __name__ == "__main__":
    main()
