"""What `/metrics` answers: all that docs/metrics.md lists, with values of what is full, away, or waits."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families as families_of

from api.app import create_app
from api.services import EXTENSION
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit
from tests.fixtures.deployment.monitoring import count_what_workers_count

DOCUMENT = Path(__file__).parents[4] / "docs" / "metrics.md"


def values(web: FlaskClient) -> dict[str, float]:
    """Return the value of each series by its name with labels."""
    told = web.get("/metrics").text
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", told, re.MULTILINE)}


@pytest.fixture(name="counted")
def _counted(settings: Settings, stand_in: StandIn, web: FlaskClient) -> FlaskClient:
    """The API of a deployment in which every metric has a series."""
    [worker] = stand_in.workers.live_workers()
    stand_in.workers.heartbeat(replace(worker, scratch_free_bytes=25, scratch_size_bytes=100))
    submit(web)
    count_what_workers_count(stand_in.store._redis, settings.redis_prefix)
    return web


def test_the_document_lists_every_metric_with_its_kind_labels_and_help_text(counted: FlaskClient) -> None:
    rows = re.findall(r"^\| `(stemqueue_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    told = []
    for family in families_of(counted.get("/metrics").text):
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + ("_total" if family.type == "counter" else "")
        told.append((name, family.type, ", ".join(f"`{label}`" for label in labels), family.documentation))
    assert sorted(rows) == sorted(told)


def test_the_time_until_a_job_begins_is_a_histogram(counted: FlaskClient) -> None:
    told = values(counted)
    assert told['stemqueue_job_wait_seconds_bucket{le="10.0",priority="bulk"}'] == 0
    assert told['stemqueue_job_wait_seconds_bucket{le="30.0",priority="bulk"}'] == 1
    assert told['stemqueue_job_wait_seconds_bucket{le="+Inf",priority="bulk"}'] == 1
    assert told['stemqueue_job_wait_seconds_sum{priority="bulk"}'] == 20


def test_how_full_redis_and_scratch_disks_are(counted: FlaskClient, stand_in: StandIn) -> None:
    told = values(counted)
    assert told['stemqueue_worker_scratch_free_bytes{worker="stand-in"}'] == 25
    assert told['stemqueue_worker_scratch_size_bytes{worker="stand-in"}'] == 100
    assert told["stemqueue_redis_memory_used_bytes"] > 100_000
    redis = stand_in.store._redis
    redis.config_set("maxmemory", 300_000_000)
    try:
        assert values(create_app(stand_in.settings).test_client())["stemqueue_redis_memory_max_bytes"] == 300_000_000
    finally:
        redis.config_set("maxmemory", 0)


def test_a_worker_that_dies_is_silent_for_an_hour_and_one_that_stops_is_not(
    web: FlaskClient, stand_in: StandIn
) -> None:
    redis, key = stand_in.store._redis, f"{stand_in.settings.redis_prefix}workers"
    [worker] = stand_in.workers.live_workers()
    stand_in.workers.heartbeat(replace(worker, id="waits", fault="The bucket is full."))
    redis.zadd(key, {"stand-in": int((time.time() - 300) * 1000)})
    told = values(web)
    assert (told["stemqueue_workers"], told["stemqueue_workers_silent"]) == (1, 1)
    assert told["stemqueue_workers_waiting_for_storage"] == 1
    redis.zadd(key, {"stand-in": int((time.time() - 3700) * 1000)})
    assert values(web)["stemqueue_workers_silent"] == 0
    redis.zadd(key, {"stand-in": int((time.time() - 300) * 1000)})
    stand_in.workers.remove("stand-in")
    assert values(web)["stemqueue_workers_silent"] == 0


def test_counters_that_alerts_watch_begin_with_zero(web: FlaskClient, stand_in: StandIn) -> None:
    told = values(web)
    for series in (
        'job_failures_total{code="worker_lost"}',
        'job_failures_total{code="scratch_full"}',
        'rescues_total{kind="leases"}',
        'webhook_attempts_total{outcome="given_up"}',
        "leases_lost_total",
        'faults_total{part="redis"}',
        'attempts_total{engine="repetition",outcome="succeeded"}',
        'jobs{state="queued"}',
    ):
        assert told[f"stemqueue_{series}"] == 0
    job_id = str(submit(web).json["id"])
    assert values(web)['stemqueue_jobs{state="queued"}'] == 1
    stand_in.fail(job_id)
    assert values(web)['stemqueue_job_failures_total{code="audio_unreadable"}'] == 1


def test_webhooks_that_wait_and_attempts_to_deliver_them_are_counted(settings: Settings, stand_in: StandIn) -> None:
    secret = "whsec_" + "AQEB" * 8
    told = settings.model_copy(update={"webhook_secrets": secret, "webhook_retry_seconds": "3600"})
    web = create_app(told).test_client()
    for number in range(2):
        # Nobody listens there, and loopback is refused: the attempt fails.
        job_id = submit(web, content=b"a\0song%d" % number, webhook_url=f"http://127.0.0.1:{number + 1}/").json["id"]
        stand_in.queue.dispatch()
        stand_in.fail(str(job_id))
    redis, prefix = stand_in.store._redis, settings.redis_prefix
    [line] = redis.keys(f"{prefix}webhooks:line:*:127.0.0.1:2")
    [message] = redis.zrange(line, 0, -1)
    redis.zadd(line, {message: int((time.time() - 50) * 1000)})
    before = values(web)
    assert before['stemqueue_webhooks_pending{state="due"}'] == 2
    assert before["stemqueue_webhooks_oldest_due_seconds"] == pytest.approx(50, abs=20)
    webhooks = web.application.extensions[EXTENSION].webhooks
    assert webhooks.deliver_one()
    assert webhooks.deliver_one()
    after = values(web)
    assert after['stemqueue_webhooks_pending{state="due"}'] == 0
    assert after['stemqueue_webhooks_pending{state="scheduled"}'] == 2
    assert after["stemqueue_webhooks_oldest_due_seconds"] == 0
    assert after['stemqueue_webhook_attempts_total{outcome="failed"}'] == 2
