"""The metrics of the whole deployment at `/metrics`: queues, jobs, batches, workers, Redis, webhooks, counters.

They are read from Redis at each scrape and nothing is kept in this process, so that every API process returns the same.
docs/metrics.md lists them.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.monitoring.counter_metrics import PREFIX, counter_metrics
from shared.batches.model import ItemState
from shared.batches.store import BatchStore
from shared.counters import Counters
from shared.errors import InputError, ResourceError, StemqueueError, TransientError
from shared.jobs.model import JobState
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.redis_client.memory import RedisMemory
from shared.settings import Settings


@dataclass(frozen=True)
class Sources:
    """Where the metrics are read from."""

    settings: Settings
    queue: JobQueue
    workers: WorkerRegistry
    statistics: QueueStatistics
    batches: BatchStore
    counters: Counters
    redis_memory: RedisMemory


def render(sources: Sources) -> bytes:
    """Return all metrics in Prometheus's text format. Raises StoreUnavailableError."""
    registry = CollectorRegistry()
    registry.register(DeploymentCollector(sources))
    return generate_latest(registry)


def failure_codes() -> set[str]:
    """Return the codes with which a job can fail, and a few others that no job has."""
    kinds = (InputError, ResourceError, TransientError)
    errors = [error for kind in kinds for error in _subclasses(kind)]
    # Those that the API defines are about requests.
    return {"worker_lost"} | {error.code for error in errors if error.__module__ == InputError.__module__}


def _subclasses(kind: type[StemqueueError]) -> Iterator[type[StemqueueError]]:
    for error in kind.__subclasses__():
        yield error
        yield from _subclasses(error)


class DeploymentCollector(Collector):
    """Reads the state of the deployment at each scrape."""

    def __init__(self, sources: Sources) -> None:
        self._settings = sources.settings
        self._queue = sources.queue
        self._registry = sources.workers
        self._statistics = sources.statistics
        self._batches = sources.batches
        self._counters = sources.counters
        self._redis_memory = sources.redis_memory

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not read Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        yield from self._queues()
        yield from self._live_batches()
        yield from self._jobs()
        live = self._registry.live_workers()
        yield from self._workers(live)
        yield from self._memory()
        yield from self._webhooks()
        yield from counter_metrics(self._counters, {engine for worker in live for engine in worker.engines})

    def _queues(self) -> Iterator[Metric]:
        labels = ["engine", "priority"]
        depth = GaugeMetricFamily(
            f"{PREFIX}queue_depth", "Queued jobs that are not yet published to Celery", labels=labels
        )
        published = GaugeMetricFamily(
            f"{PREFIX}queue_published",
            "Queued jobs that are published to Celery and not yet claimed",
            labels=["engine"],
        )
        age = GaugeMetricFamily(
            f"{PREFIX}queue_oldest_age_seconds",
            "Longest time that a queued job has been ready: since it was submitted, given back, or got its source",
            labels=labels,
        )
        paused = GaugeMetricFamily(
            f"{PREFIX}queue_paused", "1 while an operator has paused the queue", labels=["engine"]
        )
        for line in self._queue.queue_lengths():
            depth.add_metric([line.engine, line.priority], line.waiting)
            age.add_metric([line.engine, line.priority], line.oldest_age_seconds)
            if line.priority == "interactive":
                paused.add_metric([line.engine], float(line.paused))
                published.add_metric([line.engine], line.published)
        yield from (depth, published, age, paused)
        yield GaugeMetricFamily(
            f"{PREFIX}queue_max_jobs",
            "Most queued jobs that are accepted (MAX_QUEUED_JOBS)",
            value=self._settings.max_queued_jobs,
        )

    def _live_batches(self) -> Iterator[Metric]:
        """Yield the items of batches. Only a few of them are in the queue at a time."""
        items = GaugeMetricFamily(
            f"{PREFIX}batch_items", "Items of batches that have not ended, by state", labels=["state"]
        )
        age = GaugeMetricFamily(f"{PREFIX}batch_oldest_age_seconds", "Age of the oldest batch that has not ended")
        live = self._batches.read_batches(self._batches.feeding.live_ids())
        for state in ItemState:
            items.add_metric([state], sum(batch.counts[state] for batch in live))
        now = time.time()
        age.add_metric([], max(0.0, now - min((batch.created_at for batch in live), default=now)))
        yield from (items, age)

    def _jobs(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(f"{PREFIX}jobs", "Jobs by state", labels=["state"])
        by_state = self._statistics.jobs_by_state()
        for state in sorted({*JobState, *by_state}):
            jobs.add_metric([state], by_state.get(state, 0))
        failures = CounterMetricFamily(
            f"{PREFIX}job_failures", "Jobs that failed after their last attempt, by error code", labels=["code"]
        )
        by_code = self._statistics.failures_by_code()
        # All begin with 0, because Prometheus does not see the first increase of a counter that was not there before.
        for code in sorted(failure_codes() | by_code.keys()):
            if not code.startswith("retried:"):
                failures.add_metric([code], by_code.get(code, 0))
        yield from (jobs, failures)

    def _workers(self, live: list[Worker]) -> Iterator[Metric]:
        yield GaugeMetricFamily(f"{PREFIX}workers", "Live workers", value=len(live))
        yield GaugeMetricFamily(
            f"{PREFIX}workers_silent",
            "Workers that stopped sending heartbeats within the last hour and were not stopped",
            value=self._registry.count_silent_workers(),
        )
        yield GaugeMetricFamily(
            f"{PREFIX}workers_waiting_for_storage",
            "Live workers that start no jobs because the storage does not serve them, or is full",
            value=sum(worker.fault is not None for worker in live),
        )
        slots = GaugeMetricFamily(f"{PREFIX}slots", "Slots of live workers, by engine", labels=["engine"])
        by_engine: dict[str, int] = defaultdict(int)
        for worker in live:
            for engine in worker.engines:
                by_engine[engine] += worker.slots
        for engine, number in sorted(by_engine.items()):
            slots.add_metric([engine], number)
        yield slots
        sandbox = GaugeMetricFamily(
            f"{PREFIX}worker_sandbox",
            "Live workers by the sandbox of their decoders: Landlock version (0: none) and seccomp filter",
            labels=["landlock", "seccomp"],
        )
        for (landlock, seccomp), number in sorted(Counter((w.landlock, w.seccomp) for w in live).items()):
            sandbox.add_metric([str(landlock), "yes" if seccomp else "no"], number)
        yield sandbox
        yield from _scratch_disks(live)

    def _memory(self) -> Iterator[Metric]:
        use = self._redis_memory.memory_use()
        yield GaugeMetricFamily(
            f"{PREFIX}redis_memory_used_bytes",
            "Memory that Redis uses, as it compares it with its limit",
            value=use.used_bytes,
        )
        yield GaugeMetricFamily(
            f"{PREFIX}redis_memory_max_bytes", "Redis's limit (maxmemory); 0: no limit, or unknown", value=use.max_bytes
        )

    def _webhooks(self) -> Iterator[Metric]:
        pending = self._statistics.pending_webhooks()
        number = GaugeMetricFamily(
            f"{PREFIX}webhooks_pending",
            "Webhook messages that are not delivered yet: due, or scheduled (retried later, or being delivered)",
            labels=["state"],
        )
        number.add_metric(["due"], pending.due)
        number.add_metric(["scheduled"], pending.scheduled)
        yield number
        yield GaugeMetricFamily(
            f"{PREFIX}webhooks_oldest_due_seconds",
            "How long the oldest webhook message that is due has been due",
            value=pending.oldest_due_seconds,
        )


def _scratch_disks(live: list[Worker]) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        f"{PREFIX}worker_scratch_free_bytes", "Free space of the disk with a worker's scratch folder", labels=["worker"]
    )
    size = GaugeMetricFamily(
        f"{PREFIX}worker_scratch_size_bytes", "Size of the disk with a worker's scratch folder", labels=["worker"]
    )
    for worker in live:
        if worker.scratch_free_bytes is not None and worker.scratch_size_bytes is not None:
            free.add_metric([worker.id], worker.scratch_free_bytes)
            size.add_metric([worker.id], worker.scratch_size_bytes)
    yield from (free, size)
