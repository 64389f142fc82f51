"""Batches under fire: whatever dies or goes away, each item is done once and told once, and reading goes on."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fault.support.deployment import Deployment, os_kill, wait_until
from tests.fault.support.invariants import check
from tests.fault.support.proxy import FORBIDDEN
from tests.fixtures.servers import SONGS

STAND_IN = {"engine": "slow", "parameters": {"seconds": 0.3}, "no_cache": True}


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    """A deployment with a bucket that is a catalog."""
    return deploy(S3_SOURCE_BUCKETS=SONGS)


def put_catalog(deployment: Deployment, song: Path, tracks: int) -> list[dict[str, Any]]:
    """Put a song into storage and return that many items of it."""
    deployment.songs.put_bytes(song.read_bytes(), "catalog/song.flac", "audio/flac")
    source = {"s3": {"bucket": SONGS, "key": "catalog/song.flac"}}
    return [{"track": f"{n:05d}", "source": source} for n in range(tracks)]


def put_manifest(deployment: Deployment, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the items into storage as a manifest."""
    text = "".join(json.dumps(item) + "\n" for item in items)
    deployment.songs.put_bytes(text.encode(), "catalog/manifest.jsonl", "application/jsonl")
    return {"s3": {"bucket": SONGS, "key": "catalog/manifest.jsonl"}}


def check_done(deployment: Deployment, batch_id: str, tracks: int) -> None:
    """Assert that every track of a batch was done, in its order."""
    batch = deployment.until_batch(batch_id, "ended", seconds=240)
    assert batch["counts"]["succeeded"] == tracks, batch
    assert [item["track"] for item in deployment.items(batch_id)] == [f"{n:05d}" for n in range(tracks)]
    check(deployment)


def test_a_worker_killed_at_random_moments_loses_and_doubles_no_item(deployment: Deployment, song: Path) -> None:
    tracks = 24
    batch_id = deployment.submit_batch(items=put_catalog(deployment, song, tracks), defaults=STAND_IN)
    for _ in range(3):
        time.sleep(random.uniform(0.5, 2.5))
        os_kill(deployment.workers[-1].pid, signal.SIGKILL)
        deployment.start_worker()
    check_done(deployment, batch_id, tracks)


def test_reading_goes_on_where_a_killed_worker_left_it(deployment: Deployment, song: Path) -> None:
    tracks = 60_000
    manifest = put_manifest(deployment, put_catalog(deployment, song, tracks))
    batch_id = deployment.submit_batch(manifest=manifest, defaults={**STAND_IN, "parameters": {"seconds": 600}})
    kills = 0
    while deployment.batch(batch_id)["state"] == "reading":
        before = deployment.batch(batch_id)["total"]
        if before > 5000 * (kills + 1) and kills < 3:
            os_kill(deployment.workers[-1].pid, signal.SIGKILL)
            kills += 1
            assert deployment.batch(batch_id)["total"] >= before
            deployment.start_worker()
        time.sleep(0.02)
    assert kills >= 1, "reading was broken off"
    batch = deployment.batch(batch_id)
    assert (batch["total"], batch["counts"]["invalid"]) == (tracks, 0)
    assert [item["track"] for item in deployment.items(batch_id)] == [f"{n:05d}" for n in range(tracks)]
    fed = sum(batch["counts"][state] for state in ("queued", "running"))
    assert 0 < fed <= 8, "no more jobs than will soon run"
    deployment.client.post(f"/v1/batches/{batch_id}/cancel").raise_for_status()
    check(deployment)


def test_a_killed_redis_loses_no_item(deployment: Deployment, song: Path) -> None:
    tracks = 16
    batch_id = deployment.submit_batch(items=put_catalog(deployment, song, tracks), defaults=STAND_IN)
    wait_until(lambda: deployment.batch(batch_id)["counts"]["succeeded"] >= 2, 120, "two items to be done")
    deployment.valkey.kill()
    wait_until(lambda: deployment.client.get(f"/v1/batches/{batch_id}").status_code == 503, 60, "503")
    time.sleep(1)
    deployment.valkey.start()
    check_done(deployment, batch_id, tracks)


def test_storage_that_is_away_while_items_end_delays_them_only(deployment: Deployment, song: Path) -> None:
    tracks = 12
    batch_id = deployment.submit_batch(items=put_catalog(deployment, song, tracks), defaults=STAND_IN)
    wait_until(lambda: deployment.batch(batch_id)["counts"]["succeeded"] >= 2, 200, "two items to be done")
    deployment.storage_proxy.mode = "refuse"
    deployment.storage_proxy.reset_all()
    time.sleep(15)
    deployment.storage_proxy.mode = "pass"
    check_done(deployment, batch_id, tracks)
    assert {(item["state"], item["attempts"]) for item in deployment.items(batch_id)} == {("succeeded", 1)}


@pytest.mark.parametrize("part", ["storage", "redis"])
def test_an_outage_while_a_manifest_is_read_delays_it_only(deployment: Deployment, song: Path, part: str) -> None:
    tracks = 30_000
    manifest = put_manifest(deployment, put_catalog(deployment, song, tracks))
    batch_id = deployment.submit_batch(manifest=manifest, defaults={**STAND_IN, "parameters": {"seconds": 600}})
    wait_until(lambda: deployment.batch(batch_id)["total"] > 2000, 200, "some lines to be read")
    assert deployment.batch(batch_id)["state"] == "reading"
    proxy = deployment.storage_proxy if part == "storage" else deployment.redis_proxy
    proxy.mode = "refuse"
    proxy.reset_all()
    time.sleep(10)  # past each lease, and the lock of the batch
    proxy.mode = "pass"
    wait_until(lambda: deployment.client.get(f"/v1/batches/{batch_id}").status_code == 200, 120, "the API to go on")
    batch = deployment.until_batch(batch_id, "running", seconds=400)
    assert (batch["total"], batch["counts"]["invalid"], batch["counts"]["failed"]) == (tracks, 0, 0)
    assert batch["error"] is None
    assert [item["track"] for item in deployment.items(batch_id)] == [f"{n:05d}" for n in range(tracks)]
    deployment.client.post(f"/v1/batches/{batch_id}/cancel").raise_for_status()
    check(deployment)


def is_copy(request: bytes) -> bool:
    return request.startswith(b"PUT ") and b"/catalog/copies/" in request


def test_copies_wait_for_their_bucket_however_long_it_is_away(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(S3_SOURCE_BUCKETS=SONGS, EXPORT_BUCKETS=SONGS)
    items = put_catalog(deployment, song, 3)
    deployment.storage_proxy.refuses = is_copy
    export = {"bucket": SONGS, "prefix": "catalog/copies"}
    batch_id = deployment.submit_batch(items=items, defaults=STAND_IN, export=export)
    postponed = lambda: sum("export postponed" in line for line in deployment.lines)
    wait_until(lambda: postponed() >= 10, 200, "the copies to be tried more often than a refusal would be")
    batch = deployment.batch(batch_id)
    assert (batch["state"], batch["counts"]["failed"]) == ("running", 0)
    deployment.storage_proxy.refuses = lambda _: False
    check_done(deployment, batch_id, 3)
    assert len(list(deployment.songs.list_keys("catalog/copies/"))) == 6


def test_what_a_bucket_that_answers_refuses_ends_with_its_error(deploy: Callable[..., Deployment], song: Path) -> None:
    deployment = deploy(S3_SOURCE_BUCKETS=SONGS, EXPORT_BUCKETS=SONGS)
    items = put_catalog(deployment, song, 2)
    deployment.songs.put_bytes(song.read_bytes(), "catalog/forbidden.flac", "audio/flac")
    items.append({"track": "00002", "source": {"s3": {"bucket": SONGS, "key": "catalog/forbidden.flac"}}})
    deployment.storage_proxy.refusal = FORBIDDEN
    deployment.storage_proxy.refuses = lambda request: is_copy(request) or b"/catalog/forbidden.flac" in request
    export = {"bucket": SONGS, "prefix": "catalog/copies"}
    batch_id = deployment.submit_batch(items=items, defaults=STAND_IN, export=export)
    deployment.until_batch(batch_id, "ended", seconds=240)
    told = [(item["state"], item["error"]["code"]) for item in deployment.items(batch_id)]
    assert told == [("failed", "export_failed"), ("failed", "export_failed"), ("failed", "storage_unavailable")]
    check(deployment)


def test_a_canceled_batch_stops_at_once_and_goes_on_when_it_is_told_to(deployment: Deployment, song: Path) -> None:
    tracks = 12
    batch_id = deployment.submit_batch(items=put_catalog(deployment, song, tracks), defaults=STAND_IN)
    wait_until(lambda: deployment.batch(batch_id)["counts"]["running"], 120, "an item to run")
    canceled = deployment.client.post(f"/v1/batches/{batch_id}/cancel").raise_for_status().json()
    assert canceled["counts"]["running"] == canceled["counts"]["queued"] == canceled["counts"]["waiting"] == 0
    wait_until(lambda: any("claim lost" in line for line in deployment.lines), 120, "the running attempt to end")
    check(deployment)
    deployment.client.post(f"/v1/batches/{batch_id}/retry-failed").raise_for_status()
    check_done(deployment, batch_id, tracks)
