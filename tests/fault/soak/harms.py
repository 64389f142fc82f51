"""What a soak does to a deployment: it kills, stops and freezes processes, and takes Redis and the storage away."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from deploy.local.processes import RunningService
from tests.fault.support.deployment import Deployment, os_kill, stop_at_once, wait_until
from tests.fault.support.proxy import Proxy

STORAGE_FAULTS = ("refuse", "swallow", "slow_down", "forbid")
REDIS_FAULTS = ("refuse", "swallow")

OUTAGE_SECONDS = (8.0, 30.0)
"""How long the storage or Redis is away in a short outage: several leases, which last 3 s here and 60 s in earnest."""

LONG_OUTAGE_SECONDS = (60.0, 180.0)
"""How long they are away in a long outage; no outage is longer than half of what is left of the soak."""


class Harms:
    """The harms that are done to `deployment`, and a count of them.

    With `only_outages`, everything else that lives keeps what it does: no process is killed but Redis and the storage.
    """

    def __init__(self, deployment: Deployment, chance: random.Random, *, only_outages: bool) -> None:
        self._deployment = deployment
        self._random = chance
        self._only_outages = only_outages
        self.counts: Counter[str] = Counter()
        self.begun_at: list[float] = []
        self.end = float("inf")
        """When the last harm may begin, by the monotonic clock."""
        self.died: list[str] = []
        """Workers that ended without being told to."""
        self._ended: set[int] = set()

    def hurt(self) -> str:
        """Do one harm, chosen at random, and mend what a person or a supervisor would mend; return its name."""
        charged = [self.kill_worker, self.freeze_worker, self.kill_children]
        uncharged: list[Callable[[], None]] = [
            self.stop_worker,
            self.kill_valkey,
            self.kill_storage,
            self.cut_cables,
            self.take_storage_away,
            self.take_redis_away,
            self.take_storage_away_for_minutes,
            self.take_redis_away_for_minutes,
            self.take_both_away,
            self.restart_everything,
        ]
        harm = self._random.choice(uncharged if self._only_outages else charged + uncharged)
        self.counts[harm.__name__] += 1
        self.begun_at.append(time.time())
        harm()
        return harm.__name__

    def kill_worker(self) -> None:
        """SIGKILL a worker; another starts."""
        self._end_worker(signal.SIGKILL)

    def stop_worker(self) -> None:
        """SIGTERM a worker; another starts."""
        self._end_worker(signal.SIGTERM)

    def freeze_worker(self) -> None:
        """Stop a worker past its lease, then let it go on."""
        victim = self._live_worker()
        family = [victim.pid, *self._deployment.child_pids(victim)]
        for pid in family:
            os_kill(pid, signal.SIGSTOP)
        time.sleep(5)
        for pid in family:
            os_kill(pid, signal.SIGCONT)

    def kill_children(self) -> None:
        """SIGKILL all children of a worker."""
        for pid in self._deployment.child_pids(self._live_worker()):
            os_kill(pid, signal.SIGKILL)

    def kill_valkey(self) -> None:
        """SIGKILL Valkey; it starts again after a while, with what is in its file."""
        self._deployment.valkey.kill()
        time.sleep(self._random.uniform(0, 3))
        self._deployment.valkey.start()

    def kill_storage(self) -> None:
        """SIGKILL the storage; it starts again after a while."""
        self._deployment.seaweedfs.kill()
        time.sleep(self._random.uniform(0, 3))
        self._deployment.seaweedfs.start()

    def cut_cables(self) -> None:
        """Reset every connection to Valkey and the storage."""
        self._deployment.redis_proxy.reset_all()
        self._deployment.storage_proxy.reset_all()

    def take_storage_away(self) -> None:
        """Leave every part without the storage for several leases."""
        self._take_away([(self._deployment.storage_proxy, STORAGE_FAULTS)], OUTAGE_SECONDS)

    def take_redis_away(self) -> None:
        """Leave every part without Redis for several leases."""
        self._take_away([(self._deployment.redis_proxy, REDIS_FAULTS)], OUTAGE_SECONDS)

    def take_storage_away_for_minutes(self) -> None:
        """Leave every part without the storage for minutes."""
        self._take_away([(self._deployment.storage_proxy, STORAGE_FAULTS)], LONG_OUTAGE_SECONDS)

    def take_redis_away_for_minutes(self) -> None:
        """Leave every part without Redis for minutes."""
        self._take_away([(self._deployment.redis_proxy, REDIS_FAULTS)], LONG_OUTAGE_SECONDS)

    def take_both_away(self) -> None:
        """Leave every part without the storage and Redis, as a broken network does."""
        both = [(self._deployment.storage_proxy, STORAGE_FAULTS), (self._deployment.redis_proxy, REDIS_FAULTS)]
        self._take_away(both, OUTAGE_SECONDS)

    def _take_away(self, parts: Sequence[tuple[Proxy, Sequence[str]]], seconds: tuple[float, float]) -> None:
        for proxy, modes in parts:
            proxy.mode = self._random.choice(modes)
            proxy.reset_all()
        time.sleep(min(self._random.uniform(*seconds), max(OUTAGE_SECONDS[0], (self.end - time.monotonic()) / 2)))
        for proxy, _ in parts:
            proxy.mode = "pass"

    def restart_everything(self) -> None:
        """SIGTERM every part at once, as a reboot does; they start again in any order."""
        self._live_worker()  # starts those that ended by themselves
        workers = [worker for worker in self._deployment.workers if worker.exit_code is None]
        self._ended.update(worker.pid for worker in workers)
        stop_at_once(self._deployment)
        starts = [
            self._deployment.valkey.start,
            self._deployment.seaweedfs.start,
            self._deployment.start_api,
            *[lambda: self._deployment.start_worker(wait=False)] * len(workers),
        ]
        self._random.shuffle(starts)
        for start in starts:
            start()
            time.sleep(self._random.uniform(0, 4))

    def _live_worker(self) -> RunningService:
        for worker in self._deployment.workers:
            if worker.exit_code is not None and worker.pid not in self._ended:
                self._ended.add(worker.pid)
                self.died.append(f"{worker.service.name} ended by itself with {worker.exit_code}")
                print(self.died[-1], *[x for x in self._deployment.lines if worker.service.name in x][-30:], sep="\n")
                self._deployment.start_worker(wait=False)
        return self._random.choice([w for w in self._deployment.workers if w.exit_code is None])

    def _end_worker(self, number: int) -> None:
        victim = self._live_worker()
        self._ended.add(victim.pid)
        os_kill(victim.pid, number)
        wait_until(lambda: victim.exit_code is not None, 30, "the worker to end")
        self._deployment.start_worker(wait=False)
