"""A stream of requests while everything is killed and cut off at random; afterwards the invariants, over all of it.

    python -m tests.fault.soak MINUTES [SEED] [outages]

With `outages`, Redis and the storage die and go away, and workers are only asked to stop: then no attempt may be
charged. A collector of traces is named that never answers. Prints counts as a table. Exits 1 if a job was lost,
committed twice or charged by an outage, if a webhook did not come, or if an object belongs to none.
"""

from __future__ import annotations

import base64
import contextlib
import random
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fault.soak.harms import Harms
from tests.fault.soak.stream import Stream
from tests.fault.support.deployment import Deployment, wait_until
from tests.fault.support.invariants import Watcher, check
from tests.fault.support.proxy import Proxy
from tests.fault.support.receiver import Receiver, receiving
from tests.fixtures.ports import find_free
from tests.fixtures.servers import SONGS

PAUSE_SECONDS = (2.0, 8.0)
"""How long the system has between two faults."""

FAULTS_OF_OTHERS = frozenset({"worker_lost", "separation_failed"})
"""Codes of attempts whose worker or child was killed. An outage charges no attempt, so there is no other code."""

WEBHOOK_SECONDS = 180.0
"""A delivery whose end Redis did not hear is made again after a lease of a minute."""


@dataclass
class Soak:
    """A deployment with two workers, what is asked of it, and what is done to it."""

    deployment: Deployment
    stream: Stream
    harms: Harms
    receiver: Receiver
    random: random.Random
    only_outages: bool


def main() -> int:
    """Run the soak."""
    minutes, *options = sys.argv[1:]
    only_outages = "outages" in options
    (seed,) = [int(option) for option in options if option.isdigit()] or [int(time.time())]
    print(f"soak for {minutes} minutes, seed {seed}{', outages only' if only_outages else ''}", flush=True)
    chance = random.Random(seed)
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="stemqueue-soak-")))
        receiver = held.enter_context(receiving())
        collector = held.enter_context(Proxy(find_free()))
        collector.mode = "swallow"
        deployment = Deployment(
            folder / "deployment",
            MAX_LOSSES="10",
            JOB_SECONDS_BASE="7200",  # The machine may be busy.
            S3_SOURCE_BUCKETS=SONGS,
            EXPORT_BUCKETS=SONGS,
            WEBHOOK_SECRETS=f"whsec_{base64.b64encode(bytes(24)).decode()}",
            OUTGOING_TO_LOOPBACK="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}",
        )
        log = Path(tempfile.gettempdir()) / f"stemqueue-soak-{seed}.log"
        print(f"the log of all processes will be in {log}", flush=True)
        held.callback(lambda: log.write_text("\n".join(deployment.lines)))
        held.callback(deployment.close)
        deployment.start_api()
        for _ in range(2):
            deployment.start_worker()
        stream = Stream(deployment, folder, chance, receiver.url)
        harms = Harms(deployment, chance, only_outages=only_outages)
        return run(Soak(deployment, stream, harms, receiver, chance, only_outages), float(minutes))


def run(soak: Soak, minutes: float) -> int:
    """Ask and hurt for so long, let everything settle, check, and print."""
    deployment, harms = soak.deployment, soak.harms
    soak.stream.start()
    harms.end = time.monotonic() + 60 * minutes
    with Watcher(deployment) as watcher:
        while time.monotonic() < harms.end:
            time.sleep(soak.random.uniform(*PAUSE_SECONDS))
            harm = harms.hurt()
            left = max(0, harms.end - time.monotonic())
            print(f"{left:6.0f} s left, {len(deployment.accepted)} accepted, {harm}", flush=True)
        soak.stream.end()
        for job_id in deployment.accepted:
            deployment.until(job_id, "succeeded", "failed", seconds=300)
    deployment.batches = [
        b["id"] for b in deployment.client.get("/v1/batches?limit=100").raise_for_status().json()["batches"]
    ]
    for batch_id in deployment.batches:
        deployment.until_batch(batch_id, "ended", seconds=300)
    untold = missing_webhooks(soak)
    jobs = check(deployment, watcher)
    items = [deployment.job(i["job_id"]) for b in deployment.batches for i in deployment.items(b) if i["job_id"]]
    faults = [
        *soak.stream.faults,
        *harms.died,
        *(f"no webhook of {i}" for i in untold),
        *wrong_ends(soak, jobs + items),
    ]
    for name, value in {
        "accepted": f"{len(jobs)} jobs, {len(deployment.batches)} batches with {len(items)} items",
        "sent": dict(soak.stream.sent),
        "refused while parts were away": soak.stream.refused,
        "ends": dict(Counter(job["state"] for job in jobs + items)),
        "attempts": dict(Counter(job["attempt"] for job in jobs + items)),
        "charged attempts, by code": dict(Counter(e["code"] for job in jobs + items for e in job["attempt_errors"])),
        "orphaned objects": 0,  # check() has asserted it
        "faults done": dict(harms.counts),
        "longest from a fault to the next commit, s": round(longest_recovery_seconds(soak), 1),
        "slowest answer of the API, s": round(watcher.slowest_seconds, 2),
        "wrong": faults or "nothing",
    }.items():
        print(f"{name:45} {value}")
    return 1 if faults else 0


def wrong_ends(soak: Soak, jobs: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each job that an outage charged or ended, and for each that was committed twice."""
    allowed = frozenset() if soak.only_outages else FAULTS_OF_OTHERS
    wrong = []
    for job in jobs:
        codes = {e["code"] for e in job["attempt_errors"]} | ({job["error"]["code"]} if job["error"] else set())
        if not codes <= allowed | ({"source_failed"} if allowed else set()):
            wrong.append(f"{job['id']} {job['state']} after {sorted(codes)}")
        if soak.only_outages and job["attempt"] != 1:
            wrong.append(f"{job['id']} in attempt {job['attempt']}")
    committed = Counter(
        re.findall(
            r"attempt ended.*?job\W+([0-9a-f]{32}).*?outcome\W+(?:succeeded|cached)", "\n".join(soak.deployment.lines)
        )
    )
    return [*wrong, *(f"{job_id} was committed {n} times" for job_id, n in committed.items() if n > 1)]


def missing_webhooks(soak: Soak) -> list[str]:
    """Return the jobs and batches that have ended, and whose receiver was not told after a while."""

    def expected() -> dict[str, str]:
        ended = {i: f"job.{soak.deployment.job(i)['state']}" for i in soak.deployment.accepted}
        # The command sends its batches without a webhook.
        asked = {i for i in soak.deployment.batches if soak.deployment.batch(i)["webhook_url"]}
        return ended | dict.fromkeys(asked, "batch.ended")

    told = expected()
    missing = lambda: [i for i, kind in told.items() if kind not in soak.receiver.got.get(i, ())]
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not missing(), WEBHOOK_SECONDS)
    return missing()


def longest_recovery_seconds(soak: Soak) -> float:
    """Return the longest time from a fault to the next commit."""
    jobs = soak.deployment.store.read_jobs(soak.deployment.accepted)
    commits = sorted(job.finished_at for job in jobs if job.finished_at)
    waits = [min((c - f for c in commits if c > f), default=0.0) for f in soak.harms.begun_at]
    return max(waits, default=0.0)


if __name__ == "__main__":
    sys.exit(main())
