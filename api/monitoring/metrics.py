"""The metrics of the whole deployment at `/metrics`: queues, jobs, batches, workers, counters.

They are read from Redis at each scrape and nothing is kept in this process, so that every API process returns the same.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.batches.model import ItemState
from shared.batches.store import BatchStore
from shared.counters import NAMES, STAGE_SECONDS_BUCKETS, Count, Counters
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import WorkerRegistry

PREFIX = "stemqueue_"


def render(
    queue: JobQueue, workers: WorkerRegistry, statistics: QueueStatistics, batches: BatchStore, counters: Counters
) -> bytes:
    """Return all metrics in Prometheus's text format. Raises StoreUnavailableError."""
    registry = CollectorRegistry()
    registry.register(DeploymentCollector(queue, workers, statistics, batches, counters))
    return generate_latest(registry)


class DeploymentCollector(Collector):
    """Reads the state of the deployment at each scrape."""

    def __init__(
        self,
        queue: JobQueue,
        workers: WorkerRegistry,
        statistics: QueueStatistics,
        batches: BatchStore,
        counters: Counters,
    ) -> None:
        self._queue = queue
        self._registry = workers
        self._statistics = statistics
        self._batches = batches
        self._counters = counters

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not read Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        yield from self._queues()
        yield from self._live_batches()
        yield from self._jobs()
        yield from self._workers()
        yield from self._counts()

    def _queues(self) -> Iterator[Metric]:
        labels = ["engine", "priority"]
        depth = GaugeMetricFamily(
            f"{PREFIX}queue_depth", "Queued jobs that are not yet published to Celery", labels=labels
        )
        age = GaugeMetricFamily(f"{PREFIX}queue_oldest_age_seconds", "Age of the oldest queued job", labels=labels)
        paused = GaugeMetricFamily(
            f"{PREFIX}queue_paused", "1 while an operator has paused the queue", labels=["engine"]
        )
        for line in self._queue.queue_lengths():
            depth.add_metric([line.engine, line.priority], line.waiting)
            age.add_metric([line.engine, line.priority], line.oldest_age_seconds)
            if line.priority == "interactive":
                paused.add_metric([line.engine], float(line.paused))
        yield from (depth, age, paused)

    def _live_batches(self) -> Iterator[Metric]:
        """Yield the items of batches, of which only a few are in the queue at a time."""
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
        for state, number in sorted(self._statistics.jobs_by_state().items()):
            jobs.add_metric([state], number)
        failures = CounterMetricFamily(
            f"{PREFIX}job_failures", "Jobs that failed after their last attempt, by error code", labels=["code"]
        )
        for code, number in sorted(self._statistics.failures_by_code().items()):
            if not code.startswith("retried:"):
                failures.add_metric([code], number)
        yield from (jobs, failures)

    def _workers(self) -> Iterator[Metric]:
        live = self._registry.live_workers()
        yield GaugeMetricFamily(f"{PREFIX}workers", "Live workers", value=len(live))
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

    def _counts(self) -> Iterator[Metric]:
        by_name: dict[str, list[Count]] = defaultdict(list)
        for count in self._counters.read_sums():
            by_name[count.name].append(count)
        for name, help_text in NAMES.items():
            if name.startswith("stage_seconds"):
                continue
            labels = sorted({label for count in by_name[name] for label, _ in count.labels})
            family = CounterMetricFamily(PREFIX + name.removesuffix("_total"), help_text, labels=labels)
            for count in by_name[name]:
                family.add_metric([dict(count.labels).get(label, "") for label in labels], count.value)
            yield family
        yield _stages(by_name)


def _stages(by_name: dict[str, list[Count]]) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}stage_seconds", "Duration of the pipeline's stages", labels=["stage"])
    sums = {dict(c.labels)["stage"]: c.value for c in by_name["stage_seconds_sum"]}
    counts = {dict(c.labels)["stage"]: c.value for c in by_name["stage_seconds_count"]}
    within = {(dict(c.labels)["stage"], dict(c.labels)["le"]): c.value for c in by_name["stage_seconds_bucket"]}
    for stage, number in sorted(counts.items()):
        buckets = [(str(bound), within.get((stage, str(bound)), 0.0)) for bound in STAGE_SECONDS_BUCKETS]
        family.add_metric([stage], [*buckets, ("+Inf", number)], sums.get(stage, 0.0))
    return family
