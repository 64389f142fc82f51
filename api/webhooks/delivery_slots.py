"""Counts a process's concurrent deliveries for each owner and each host."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Busy:
    """The owners and hosts that have reached their limit of deliveries."""

    owners: list[str]
    hosts: list[str]


class DeliverySlots:
    """Limits concurrent deliveries per owner and per host. Call `find_busy` before `start_delivery`."""

    def __init__(self, max_per_owner: int, max_per_host: int) -> None:
        self._max_per_owner, self._max_per_host = max_per_owner, max_per_host
        self._owners: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._released = threading.Event()

    def find_busy(self) -> Busy:
        """Return the owners and hosts whose deliveries have to wait."""
        with self._lock:
            self._released.clear()
            return Busy(
                [owner for owner, held in self._owners.items() if held >= self._max_per_owner],
                [host for host, held in self._hosts.items() if held >= self._max_per_host],
            )

    def start_delivery(self, owner: str, host: str) -> None:
        """Count a delivery that starts."""
        with self._lock:
            self._owners[owner] += 1
            self._hosts[host] += 1

    def end_delivery(self, owner: str, host: str) -> None:
        """Stop counting a delivery that has finished."""
        with self._lock:
            for counts, name in ((self._owners, owner), (self._hosts, host)):
                counts[name] -= 1
                if not counts[name]:
                    del counts[name]
            self._released.set()

    def wait_for_end(self, seconds: float) -> None:
        """Wait until a delivery finishes after the last call of `find_busy`, at most `seconds`."""
        self._released.wait(seconds)
