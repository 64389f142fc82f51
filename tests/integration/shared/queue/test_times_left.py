"""The estimates of the time left, for jobs of mixed lengths: right within a factor of two, queued and running."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from shared.jobs.claims import Claim
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.settings import Settings
from tests.integration.shared.repeatable import Silent

BYTES_PER_SECOND = 16_000
"""Of these "MP3s": half of what a guess takes for granted."""

BASE, PER_SECOND = 0.2, 0.02
"""How long a job takes: seconds, and seconds for each second of audio."""

STAGES = (("decode", 0.10, 0.04), ("separate", 0.5, 0.8), ("encode", 0.8, 0.9), ("illustrate", 1.0, 0.95))
"""When a stage ends, in shares of the time, and what progress is then shown: not quite the same."""


@dataclass
class SleepingWorkers:
    """STAND-IN for workers: their jobs sleep for the time that their audio should take, and report progress."""

    settings: Settings
    lengths: dict[str, float]
    slots: int
    ended: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store, self.queue = JobStore(self.settings), JobQueue(self.settings, producer=Silent())  # type: ignore[arg-type]
        WorkerRegistry(self.settings).heartbeat(Worker("w", self.slots, ("e",), ()))
        self._lock = threading.Lock()
        self._children = threading.Semaphore(self.slots)
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._serve) for _ in range(self.slots + 1)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads."""
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while not self.over.is_set():
            claim = self._take()
            if claim is None:
                time.sleep(0.02)
                continue
            with self._children:
                self._work(claim)

    def _take(self) -> Claim | None:
        with self._lock:
            self.queue.dispatch()
            published = self.store._redis.zrange(f"{self.settings.redis_prefix}published:e", 0, -1)
            turns = {
                i: int(self.store._redis.hget(f"{self.settings.redis_prefix}job:{i}", "turn") or 0) for i in published
            }
            return self.store.claims.take(min(turns, key=turns.__getitem__), "w") if turns else None

    def _work(self, claim: Claim) -> None:
        seconds = self.lengths[claim.job.id]
        takes, begun, stage = BASE + PER_SECOND * seconds, time.monotonic(), "probe"
        probed = {"duration_seconds": seconds}
        while (done := (time.monotonic() - begun) / takes) < 1:
            share, shown = 0.0, 0.03
            for name, ends, at_end in STAGES:
                if done <= ends:
                    stage, progress = name, shown + (at_end - shown) * (done - share) / (ends - share)
                    break
                share, shown = ends, at_end
            self.store.claims.renew(claim, stage=stage, progress=progress, probed=probed)
            time.sleep(0.05)
        course = [(shown, ends) for _, ends, shown in STAGES]
        self.store.claims.succeed(claim, outputs=[], probed=probed, report={}, busy_seconds=takes, course=course)
        self.ended[claim.job.id] = time.monotonic()


@pytest.mark.parametrize(("slots", "cold"), [(1, False), (2, False), (2, True)])
def test_jobs_of_mixed_lengths_are_told_apart(settings: Settings, slots: int, cold: bool) -> None:
    chance = random.Random(4)
    lengths: dict[str, float] = {}
    workers = SleepingWorkers(settings, lengths, slots)

    def submit(number: int) -> list[str]:
        ids = []
        for _ in range(number):
            seconds = chance.choice([5.0, 20.0, 40.0, 90.0, 150.0])
            source = Source("uploads/x", "song.mp3", int(seconds * BYTES_PER_SECOND))
            ids.append(workers.store.submit(JobRequest(source=source, engine="e")).id)
            lengths[ids[-1]] = seconds
        return ids

    earlier = [] if cold else submit(8)
    workers.start()
    try:
        wait_until(lambda: len(workers.ended) == len(earlier))
        looks = follow(workers, submit(12))
    finally:
        workers.stop()
    for state, seen in looks.items():
        wrong = [look for look in seen if not 0.5 <= look[0] / look[1] <= 2]
        print(f"\n{slots} slots, {'cold' if cold else 'warm'}, {state}: {len(wrong)} of {len(seen)} wrong", end="")
        assert len(seen) > 15
        # Of the first jobs of all nobody can know much.
        assert len(wrong) <= (0.25 if cold else 0.05) * len(seen), wrong


def follow(workers: SleepingWorkers, ids: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Return the estimates and the true times, for each state."""
    told = list[tuple[str, str, float, float]]()

    def look() -> bool:
        for job_id in ids:
            if job_id not in workers.ended:
                job, now = workers.store.read_job(job_id), time.monotonic()
                if job.eta_seconds is not None:
                    told.append((job_id, job.state, now, job.eta_seconds))
        return len(workers.ended) >= len(ids) and all(i in workers.ended for i in ids)

    wait_until(look)
    looks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job_id, state, moment, eta in told:
        left = workers.ended[job_id] - moment
        # Less is within the noise of a look.
        if left > 0.3:
            looks[state].append((eta, round(left, 2)))
    return looks


def wait_until(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.1)
