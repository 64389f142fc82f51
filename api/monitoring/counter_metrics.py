"""The counters and histograms at `/metrics`: sums of all processes, which shared/counters.py keeps in Redis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from shared.counters import HISTOGRAMS, NAMES, Count, Counters
from shared.queue.dispatcher import Rescue

PREFIX = "stemqueue_"

KNOWN_LABELS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "faults_total": [{"part": part} for part in ("redis", "storage")],
    "leases_lost_total": [{}],
    "rescues_total": [{"kind": field.name} for field in fields(Rescue)],
    "webhook_attempts_total": [{"outcome": outcome} for outcome in ("delivered", "failed", "given_up", "unwanted")],
}
"""Counters that begin with 0, because Prometheus does not see the first increase of one that was not there before."""


def counter_metrics(counters: Counters, engines: Collection[str]) -> Iterator[Metric]:
    """Yield the counters and histograms. Raises StoreUnavailableError.

    `engines` are those of live workers, whose counts of songs begin with 0.
    """
    songs = [{"engine": engine, "outcome": outcome} for engine in engines for outcome in ("succeeded", "cached")]
    known = {**KNOWN_LABELS, "attempts_total": songs}
    by_name: dict[str, list[Count]] = defaultdict(list)
    for count in counters.read_sums():
        by_name[count.name].append(count)
    for name, help_text in NAMES.items():
        yield _counter(name, help_text, by_name[name], known.get(name, ()))
    for name in HISTOGRAMS:
        yield _histogram(name, by_name)


def _counter(name: str, help_text: str, counts: Sequence[Count], known: Sequence[Mapping[str, str]]) -> Metric:
    zeros = {tuple(sorted(labels.items())): 0.0 for labels in known}
    values = {**zeros, **{tuple(sorted(count.labels)): count.value for count in counts}}
    labels = sorted({label for given in values for label, _ in given})
    family = CounterMetricFamily(PREFIX + name.removesuffix("_total"), help_text, labels=labels)
    for given, value in values.items():
        family.add_metric([dict(given).get(label, "") for label in labels], value)
    return family


def _histogram(name: str, by_name: Mapping[str, Sequence[Count]]) -> Metric:
    help_text, bounds = HISTOGRAMS[name]
    sums = {count.labels: count.value for count in by_name.get(f"{name}_sum", ())}
    within = {
        (tuple(label for label in count.labels if label[0] != "le"), dict(count.labels)["le"]): count.value
        for count in by_name.get(f"{name}_bucket", ())
    }
    counts = by_name.get(f"{name}_count", ())
    labels = sorted({label for count in counts for label, _ in count.labels})
    family = HistogramMetricFamily(PREFIX + name, help_text, labels=labels)
    for count in counts:
        buckets = [(str(bound), within.get((count.labels, str(bound)), 0.0)) for bound in bounds]
        values = [dict(count.labels).get(label, "") for label in labels]
        family.add_metric(values, [*buckets, ("+Inf", count.value)], sums.get(count.labels, 0.0))
    return family
