"""The whole stack stops at once, as for a reboot, and comes back in any order: nothing that was accepted pays."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.outages.test_storage_outages import (
    PATIENCE_SECONDS,
    SLOW,
    assert_uncharged,
    in_the_separation,
    until_ended,
)
from tests.fault.support.deployment import Deployment, stop_at_once, wait_until
from tests.fault.support.invariants import check
from tests.fault.support.receiver import Receiver, receiving
from tests.fault.test_batches import STAND_IN, put_catalog
from tests.fixtures.servers import SONGS
from tests.fixtures.sounds.songs import Songs

PAUSE_SECONDS = 4.0
"""Between two parts that start: longer than a lease."""

TRACKS = 4


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.mark.parametrize(
    "order", [("worker", "api", "storage", "redis"), ("redis", "worker", "storage", "api")], ids="-".join
)
def test_a_stack_that_stops_at_once_and_comes_back_in_any_order_charges_nothing(
    deploy: Callable[..., Deployment], songs: Songs, song: Path, receiver: Receiver, order: tuple[str, ...]
) -> None:
    deployment = deploy(
        S3_SOURCE_BUCKETS=SONGS,
        EXPORT_BUCKETS=SONGS,
        WEBHOOK_SECRETS=f"whsec_{base64.b64encode(bytes(24)).decode()}",
        WEBHOOK_RETRY_SECONDS="1,1,1,1,1,1",
        OUTGOING_TO_LOOPBACK="true",
    )
    batch_id = deployment.submit_batch(
        items=put_catalog(deployment, song, TRACKS),
        defaults=STAND_IN,
        export={"bucket": SONGS, "prefix": "catalog/copies"},
        webhook_url=receiver.url,
    )
    in_the_separation(deployment, songs)
    deployment.submit(songs.short, **SLOW, webhook_url=receiver.url)
    stop_at_once(deployment)
    start = {
        "redis": deployment.valkey.start,
        "storage": deployment.seaweedfs.start,
        "api": deployment.start_api,
        "worker": lambda: deployment.start_worker(wait=False),
    }
    for part in order:
        start[part]()
        time.sleep(PAUSE_SECONDS)
    for job_id in deployment.accepted:
        assert_uncharged(deployment, until_ended(deployment, job_id))
    batch = deployment.until_batch(batch_id, "ended", seconds=PATIENCE_SECONDS)
    assert batch["counts"]["succeeded"] == TRACKS, batch
    assert {(item["state"], item["attempts"]) for item in deployment.items(batch_id)} == {("succeeded", 1)}
    assert len(list(deployment.songs.list_keys("catalog/copies/"))) == 2 * TRACKS
    wait_until(lambda: receiver.got.keys() >= {batch_id, deployment.accepted[-1]}, 120, "the webhooks")
    check(deployment)
