"""What clients that mean harm cost everybody else: `python -m tests.bench.api.siege [attack …]`.

Each attack holds its connections for a while. Meanwhile an honest client, with another key, asks `/healthz` over new
connections, and uploads and submits. Printed are its longest waits, how many of its calls failed, and how the attack's
own connections were answered.
"""

from __future__ import annotations

import collections
import contextlib
import os
import resource
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from deploy.local.processes import RunningService
from shared.api_keys import ApiKeys
from shared.jobs.request import JobRequest, Source
from tests.bench.api.speed import Servers
from tests.fixtures.api import ENGINE

SECONDS = 12.0
PROBE_SECONDS = 0.2
STEM_BYTES = 60_000_000
DEADLINE_SECONDS = 40.0


@dataclass
class Siege:
    """One server under attack, and who attacks."""

    port: int
    key: str
    job_path: str
    stem_path: str
    wires: list[socket.socket] = field(default_factory=list)

    def open(self, number: int, content: bytes) -> None:
        """Open connections, and send the same on each."""
        for _ in range(number):
            with contextlib.suppress(OSError):
                wire = socket.create_connection(("127.0.0.1", self.port), timeout=5)
                self.wires.append(wire)
                wire.sendall(content)

    def request(self, line: str, *headers: str) -> bytes:
        """Return a request's head, with the attacker's key."""
        lines = [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key}", *headers, "", ""]
        return "\r\n".join(lines).encode()

    def drip(self, seconds: float, content: bytes = b"x") -> None:
        """Send a byte on each connection each second."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for wire in self.wires:
                with contextlib.suppress(OSError):
                    wire.send(content)
            time.sleep(1)

    def sip(self, seconds: float) -> None:
        """Read ten bytes on each connection each second."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for wire in self.wires:
                wire.setblocking(False)
                with contextlib.suppress(OSError):
                    wire.recv(10)
            time.sleep(1)

    def answers(self) -> collections.Counter[str]:
        """Count the status of what came back, and close all."""
        told: collections.Counter[str] = collections.Counter()
        for wire in self.wires:
            wire.setblocking(False)
            try:
                piece = wire.recv(4096)
                told[piece[9:12].decode() if piece.startswith(b"HTTP/") else "closed" if not piece else "more"] += 1
            except BlockingIOError:
                told["open"] += 1
            except OSError:
                told["reset"] += 1
            wire.close()
        self.wires.clear()
        return told


def dripping_uploads(siege: Siege) -> None:
    """560 uploads of one key, a byte a second each."""
    siege.open(560, siege.request("POST /v1/uploads", "Content-Length: 4000000") + b"s\0ng")
    siege.drip(SECONDS)


def idle(siege: Siege) -> None:
    """2,200 connections that send nothing."""
    siege.open(2200, b"")
    time.sleep(SECONDS)


def half_heads(siege: Siege) -> None:
    """600 heads that do not end, a byte a second each."""
    siege.open(600, b"GET /healthz HTTP/1.1\r\nX-Slow: ")
    siege.drip(SECONDS)


def unread_stems(siege: Siege) -> None:
    """520 downloads of a long stem that nobody reads."""
    siege.open(520, siege.request(f"GET {siege.stem_path}"))
    time.sleep(SECONDS)


def sipped_stems(siege: Siege) -> None:
    """520 downloads of a long stem, read at ten bytes a second."""
    siege.open(520, siege.request(f"GET {siege.stem_path}"))
    siege.sip(SECONDS)


def unread_page(siege: Siege) -> None:
    """520 readers of a large file of the documents, for which no key is asked, who read nothing."""
    line = b"GET /docs/js/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    siege.open(520, line)
    time.sleep(SECONDS)


def refused_bodies(siege: Siege) -> None:
    """560 uploads without a key, which are refused and then go on at a byte a second."""
    siege.open(560, b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n")
    siege.drip(SECONDS)


def streams(siege: Siege) -> None:
    """520 event streams of one key."""
    siege.open(520, siege.request(f"GET {siege.job_path}/events"))
    time.sleep(SECONDS)


def waits(siege: Siege) -> None:
    """520 long polls of one key."""
    siege.open(520, siege.request(f"GET {siege.job_path}", "Prefer: wait=60"))
    time.sleep(SECONDS)


ATTACKS: tuple[Callable[[Siege], None], ...] = (
    idle, half_heads, dripping_uploads, refused_bodies, unread_stems, sipped_stems, unread_page, streams, waits,
)  # fmt: skip


@dataclass
class Probe:
    """An honest client's calls: how long each took, and what went wrong."""

    url: str
    key: str
    waits: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))
    faults: collections.Counter[str] = field(default_factory=collections.Counter)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Ask again and again, side by side."""
        over = threading.Event()
        calls = [self._healthz, self._submit]
        threads = [threading.Thread(target=self._ask, args=(call, over)) for call in calls]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _ask(self, call: Callable[[], int], over: threading.Event) -> None:
        name = call.__name__.strip("_")
        while not over.wait(PROBE_SECONDS):
            begun = time.monotonic()
            try:
                status = call()
                if status >= 300:
                    self.faults[f"{name} {status}"] += 1
            except httpx2.HTTPError as error:
                self.faults[f"{name} {type(error).__name__}"] += 1
            self.waits[name].append(time.monotonic() - begun)

    def _healthz(self) -> int:
        return httpx2.get(f"{self.url}/healthz", timeout=DEADLINE_SECONDS).status_code

    def _submit(self) -> int:
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx2.Client(base_url=self.url, timeout=DEADLINE_SECONDS, headers=headers) as client:
            upload = client.post("/v1/uploads", content=b"s\0ng" * 1000)
            if upload.status_code != 201:
                return upload.status_code
            source = {"upload_id": upload.json()["upload_id"]}
            return client.post("/v1/jobs", json={"source": source}).status_code


def besiege(running: RunningService, siege: Siege, key: str, attack: Callable[[Siege], None]) -> None:
    """Attack, and print what an honest client saw of it."""
    probe = Probe(f"http://127.0.0.1:{siege.port}", key)
    with probe.watch():
        attack(siege)
    told = ", ".join(f"{number} {what}" for what, number in siege.answers().most_common())
    worst = ", ".join(f"{name} {max(waits):5.2f} s" for name, waits in sorted(probe.waits.items()))
    faults = ", ".join(f"{number} {what}" for what, number in probe.faults.items()) or "none"
    memory = sum(p.memory_info().rss for p in psutil.Process(running.pid).children(recursive=True)) / 1e6
    print(f"  {attack.__name__:17} longest: {worst}   faults: {faults}   memory {memory:.0f} MB   answers: {told}")


def main() -> None:
    """Run the attacks that are named, or all."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    chosen = [attack for attack in ATTACKS if not sys.argv[1:] or attack.__name__ in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            keys = ApiKeys(servers.settings)
            good, bad = (keys.create(owner=owner, scopes=["submit", "read"])[1] for owner in ("alice", "mallory"))
            request = JobRequest(source=Source("uploads/x", "x.mp3", 1), engine=ENGINE["name"], owner="mallory")
            queued, done = (servers.stand_in.store.submit(request).id for _ in range(2))
            servers.stand_in.queue.dispatch()
            servers.stand_in.succeed(done, stem=bytes(STEM_BYTES))
            os.environ["API_KEYS_REQUIRED"] = "true"
            running = servers.start("api.wsgi:app", "/healthz", processes=2)
            siege = Siege(servers.port(running), bad, f"/v1/jobs/{queued}", f"/v1/jobs/{done}/stems/vocals")
            for attack in chosen:
                besiege(running, siege, good, attack)
                time.sleep(2)
        finally:
            servers.close()


if __name__ == "__main__":
    main()
