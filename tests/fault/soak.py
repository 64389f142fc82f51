"""A stream of short songs while everything is killed at random; afterwards the invariants, over every job and object.

    python -m tests.fault.soak MINUTES [SEED]

Prints the counts as a table; exits 1 if a job was lost, committed twice or failed by an outage, or an object belongs to
none.
"""

from __future__ import annotations

import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import httpx2

from deploy.local.processes import RunningService
from tests.fault.conftest import make_song
from tests.fault.deployment import Deployment, os_kill, stop_at_once, wait_until
from tests.fault.invariants import Watcher, check
from tests.fault.proxy import Proxy

WAITING_JOBS = 6
"""How many unfinished jobs the stream keeps up; raising it puts more of them under each fault."""

STORAGE_FAULTS = ("refuse", "swallow", "slow_down", "forbid")
REDIS_FAULTS = ("refuse", "swallow")

PAUSE_SECONDS = (2.0, 8.0)
"""How long the system has between two faults."""

OUTAGE_SECONDS = (8.0, 30.0)
"""How long the storage or Redis is away in a short outage: several leases, which last 3 s here and 60 s in earnest."""

LONG_OUTAGE_SECONDS = (60.0, 180.0)
"""How long they are away in a long outage; no outage is longer than half of what is left of the soak."""

OUTAGES = frozenset({"storage_unavailable", "queue_unavailable"})
"""Codes that no job may end with: an outage ends none."""


class Soak:
    """The stream, the faults, and what is counted of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.songs = [make_song(folder / f"song {n}.wav", 5.0 + 3 * n) for n in range(3)]
        self.deployment = Deployment(folder / "deployment", MAX_LOSSES="10")
        self.deployment.start_api()
        for _ in range(2):
            self.deployment.start_worker()
        self.refused = 0
        self.faults: Counter[str] = Counter()
        self.fault_at: list[float] = []
        self.over = Event()
        self.end = float("inf")
        """When the last harm may begin, by the monotonic clock."""
        self.ended: set[int] = set()
        self.died: list[str] = []

    def stream(self) -> None:
        """Submit songs as fast as they are worked off; a refusal is an answer, and the song comes later."""
        while not self.over.is_set():
            try:
                counts = self.deployment.statistics.jobs_by_state()
                if counts.get("queued", 0) + counts.get("running", 0) < WAITING_JOBS:
                    self._submit()
            except Exception:  # noqa: BLE001 - Redis or the API is away, on purpose
                self.refused += 1
            time.sleep(0.3)

    def _submit(self) -> None:
        engine = self.random.choice(["slow", "repetition"])
        with httpx2.Client(base_url=self.deployment.client.base_url, timeout=20) as client:
            song = self.random.choice(self.songs)
            with song.open("rb") as file:
                answer = client.post(
                    "/v1/jobs", files={"file": (song.name, file)}, data={"engine": engine, "no_cache": "true"}
                )
        if answer.status_code == 202:
            self.deployment.accepted.append(answer.json()["id"])
        else:
            self.refused += 1

    def hurt(self) -> None:
        """Do one harm, chosen at random, and mend what a person or a supervisor would mend."""
        harm = self.random.choice(
            [
                self.kill_worker,
                self.stop_worker,
                self.freeze_worker,
                self.kill_children,
                self.kill_valkey,
                self.kill_storage,
                self.cut_cables,
                self.take_storage_away,
                self.take_redis_away,
                self.take_storage_away_for_minutes,
                self.take_redis_away_for_minutes,
                self.restart_everything,
            ]
        )
        self.faults[harm.__name__] += 1
        self.fault_at.append(time.time())
        harm()

    def kill_worker(self) -> None:
        """SIGKILL a worker; another starts."""
        self._end_worker(signal.SIGKILL)

    def stop_worker(self) -> None:
        """SIGTERM a worker; another starts."""
        self._end_worker(signal.SIGTERM)

    def freeze_worker(self) -> None:
        """Stop a worker past its lease, then let it go on."""
        victim = self._live_worker()
        family = [victim.pid, *self.deployment.child_pids(victim)]
        for pid in family:
            os_kill(pid, signal.SIGSTOP)
        time.sleep(5)
        for pid in family:
            os_kill(pid, signal.SIGCONT)

    def kill_children(self) -> None:
        """SIGKILL all children of a worker."""
        for pid in self.deployment.child_pids(self._live_worker()):
            os_kill(pid, signal.SIGKILL)

    def kill_valkey(self) -> None:
        """SIGKILL Valkey; it starts again after a while."""
        self.deployment.valkey.kill()
        time.sleep(self.random.uniform(0, 3))
        self.deployment.valkey.start()

    def kill_storage(self) -> None:
        """SIGKILL the storage; it starts again after a while."""
        self.deployment.seaweedfs.kill()
        time.sleep(self.random.uniform(0, 3))
        self.deployment.seaweedfs.start()

    def cut_cables(self) -> None:
        """Reset every connection to Valkey and the storage."""
        self.deployment.redis_proxy.reset_all()
        self.deployment.storage_proxy.reset_all()

    def take_storage_away(self) -> None:
        """Leave every part without the storage for several leases."""
        self._take_away(self.deployment.storage_proxy, STORAGE_FAULTS, OUTAGE_SECONDS)

    def take_redis_away(self) -> None:
        """Leave every part without Redis for several leases."""
        self._take_away(self.deployment.redis_proxy, REDIS_FAULTS, OUTAGE_SECONDS)

    def take_storage_away_for_minutes(self) -> None:
        """Leave every part without the storage for minutes."""
        self._take_away(self.deployment.storage_proxy, STORAGE_FAULTS, LONG_OUTAGE_SECONDS)

    def take_redis_away_for_minutes(self) -> None:
        """Leave every part without Redis for minutes."""
        self._take_away(self.deployment.redis_proxy, REDIS_FAULTS, LONG_OUTAGE_SECONDS)

    def _take_away(self, proxy: Proxy, modes: Sequence[str], seconds: tuple[float, float]) -> None:
        proxy.mode = self.random.choice(modes)
        proxy.reset_all()
        time.sleep(min(self.random.uniform(*seconds), max(OUTAGE_SECONDS[0], (self.end - time.monotonic()) / 2)))
        proxy.mode = "pass"

    def restart_everything(self) -> None:
        """SIGTERM every part at once, as a reboot does; they start again in any order."""
        self._live_worker()  # starts those that ended by themselves
        workers = [worker for worker in self.deployment.workers if worker.exit_code is None]
        self.ended.update(worker.pid for worker in workers)
        stop_at_once(self.deployment)
        starts = [
            self.deployment.valkey.start,
            self.deployment.seaweedfs.start,
            self.deployment.start_api,
            *[lambda: self.deployment.start_worker(wait=False)] * len(workers),
        ]
        self.random.shuffle(starts)
        for start in starts:
            start()
            time.sleep(self.random.uniform(0, 4))

    def _live_worker(self) -> RunningService:
        for worker in self.deployment.workers:
            if worker.exit_code is not None and worker.pid not in self.ended:
                self.ended.add(worker.pid)
                self.died.append(f"{worker.service.name} ended by itself with {worker.exit_code}")
                print(self.died[-1], *[x for x in self.deployment.lines if worker.service.name in x][-30:], sep="\n")
                self.deployment.start_worker(wait=False)
        return self.random.choice([w for w in self.deployment.workers if w.exit_code is None])

    def _end_worker(self, number: int) -> None:
        victim = self._live_worker()
        self.ended.add(victim.pid)
        os_kill(victim.pid, number)
        wait_until(lambda: victim.exit_code is not None, 30, "the worker to end")
        self.deployment.start_worker(wait=False)


def longest_recovery_seconds(soak: Soak) -> float:
    """Return the longest time from a fault to the next commit."""
    commits = sorted(
        job.finished_at for job in soak.deployment.store.read_jobs(soak.deployment.accepted) if job.finished_at
    )
    waits = [min((c - f for c in commits if c > f), default=0.0) for f in soak.fault_at]
    return max(waits, default=0.0)


def main() -> int:
    """Run the soak."""
    minutes = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    with tempfile.TemporaryDirectory(prefix="stemqueue-soak-") as folder:
        soak = Soak(Path(folder), seed)
        try:
            return run(soak, minutes, seed)
        finally:
            soak.deployment.close()


def run(soak: Soak, minutes: float, seed: int) -> int:
    """Stream and hurt for so long, let everything settle, check, and print."""
    print(f"soak for {minutes:g} minutes, seed {seed}", flush=True)
    stream = Thread(target=soak.stream, daemon=True)
    stream.start()
    soak.end = time.monotonic() + 60 * minutes
    with Watcher(soak.deployment) as watcher:
        while time.monotonic() < soak.end:
            time.sleep(soak.random.uniform(*PAUSE_SECONDS))
            soak.hurt()
            print(
                f"{max(0, soak.end - time.monotonic()):6.0f} s left, {len(soak.deployment.accepted)} accepted",
                flush=True,
            )
        soak.over.set()
        stream.join()
        for job_id in soak.deployment.accepted:
            soak.deployment.until(job_id, "succeeded", "failed", seconds=300)
    jobs = check(soak.deployment, watcher)
    ends = Counter(job["state"] for job in jobs)
    codes = Counter(job["error"]["code"] for job in jobs if job["state"] == "failed")
    committed = Counter(
        re.findall(r"attempt ended.*?job\W+([0-9a-f]{32}).*?outcome\W+succeeded", "\n".join(soak.deployment.lines))
    )
    doubles = [job_id for job_id, times in committed.items() if times > 1]
    lost = len(soak.deployment.accepted) - ends["succeeded"] - ends["failed"]
    for name, value in {
        "accepted": len(jobs),
        "refused with 503 while parts were away": soak.refused,
        "succeeded": ends["succeeded"],
        "failed, by code": dict(codes),
        "lost": lost,
        "doubly committed": len(doubles),
        "orphaned objects": 0,  # check() has asserted it
        "attempts": sum(job["attempt"] for job in jobs),
        "faults": dict(soak.faults),
        "workers that ended by themselves": soak.died,
        "longest from a fault to the next commit, s": round(longest_recovery_seconds(soak), 1),
        "slowest answer of the API, s": round(watcher.slowest_seconds, 2),
    }.items():
        print(f"{name:45} {value}")
    return 1 if lost or doubles or OUTAGES & codes.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
