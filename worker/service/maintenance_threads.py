"""Two background threads: one feeds batches, the other collects garbage.

Both wait for the storage, so they are separate from the queue thread: they must not delay heartbeats and rescue.
"""

from __future__ import annotations

import threading
from dataclasses import asdict

import structlog

from shared.counters import Counters
from shared.errors import StemqueueError, StoreUnavailableError
from shared.logs import Trouble
from shared.maintenance.garbage_collector import Collector
from worker.batches.feeder import BatchFeeder
from worker.jobs.storage_watch import StorageWatch

log = structlog.get_logger(__name__)

FEED_SECONDS = 1.0
"""The longest pause between two rounds of the batch feeder. Raising it delays the jobs of batches."""


class FeederThread:
    """Runs the batch feeder while the storage serves; `wake` may be called from any thread."""

    def __init__(self, feeder: BatchFeeder, watch: StorageWatch, stopping: threading.Event) -> None:
        self._feeder = feeder
        self._watch = watch
        self._stopping = stopping
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Start the next round at once."""
        self._wake.set()

    def _run(self) -> None:
        trouble = Trouble()
        while not self._stopping.is_set():
            try:
                # Everything that the feeder does needs the storage.
                more = not self._watch.fault and self._feeder.run_round()
                trouble.clear()
                if more:
                    continue
            except StoreUnavailableError as error:
                if trouble.should_log():
                    log.warning("batch feeder waits for redis", error=error.message)
            except Exception:
                # A defect that one batch meets must not end the thread that feeds all of them.
                log.exception("batch feeder failed")
            self._wake.wait(FEED_SECONDS)
            self._wake.clear()


class CollectorThread:
    """Runs the garbage collector when it is due and the storage serves."""

    def __init__(
        self,
        collector: Collector,
        watch: StorageWatch,
        counters: Counters,
        stopping: threading.Event,
        collect_seconds: float,
    ) -> None:
        self._collector = collector
        self._watch = watch
        self._counters = counters
        self._stopping = stopping
        self._pause_seconds = min(10.0, collect_seconds)
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_seconds):
            if self._watch.fault:
                # `collect` would mark this turn as taken, although nothing can be collected now.
                continue
            try:
                self._collect()
            except StemqueueError as error:
                log.warning("garbage collection postponed", error=error.message)
            except Exception:
                log.exception("garbage collection failed")

    def _collect(self) -> None:
        collected = self._collector.collect()
        if not collected:
            return
        numbers = asdict(collected)
        write = log.info if any(numbers.values()) else log.debug
        write("garbage collected", **numbers)
        for kind, number in numbers.items():
            self._counters.add("collected_total", number, kind=kind)
