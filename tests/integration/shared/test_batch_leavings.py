"""What batches have in storage: nothing of a kept one is collected, all of one that goes is, and Redis may be lost."""

from __future__ import annotations

import time

import pytest

from shared.collector import Collector
from shared.settings import Settings
from tests.fixtures.batches import Catalog, jsonl


@pytest.fixture
def impatient(catalog: Catalog) -> Settings:
    """Settings by which everything without a record is old at once."""
    return catalog.settings.model_copy(update={"upload_abandoned_seconds": 0.05})


def collect(settings: Settings, catalog: Catalog) -> None:
    time.sleep(1.1)  # the storage tells times by the second
    assert Collector(settings, catalog.storage).run(now=True)


def keys_below(catalog: Catalog, *prefixes: str) -> set[str]:
    stored = catalog.stand_in.keys()
    return {key for key in stored if key.startswith(prefixes)}


def test_nothing_of_a_kept_batch_is_collected(catalog: Catalog, impatient: Settings) -> None:
    upload = catalog.web.post("/v1/uploads?filename=b.flac", data=b"b").json["upload_id"]
    song = catalog.put_song("catalog/a.flac")
    items = [{"source": song}, {"source": {"upload_id": upload}}, *[{"source": song}] * 20]
    batch = catalog.submit(items=items)
    catalog.feed()
    for job_id in catalog.stand_in.published_ids():
        catalog.stand_in.succeed(job_id)
    catalog.feed()
    running = catalog.stand_in.claim(catalog.stand_in.published_ids()[0])
    stray = f"jobs/{running.job.id}/99999/vocals.flac"
    catalog.storage.put_bytes(b"lost", stray, "audio/flac")
    before = set(catalog.stand_in.keys())
    collect(impatient, catalog)
    assert before - set(catalog.stand_in.keys()) == {stray}
    done = [i for i in catalog.items(batch["id"]) if i["state"] == "succeeded"]
    assert len(done) == 2
    for item in done:
        assert catalog.web.get(item["outputs"][0]["url"]).data == b"0123456789" * 100


def test_results_lie_in_storage_once_a_batch_has_ended(catalog: Catalog, impatient: Settings) -> None:
    batch = catalog.submit(items=[{"source": catalog.put_song("catalog/a.flac")}] * 5)
    catalog.work_off(batch["id"])
    assert catalog.batches.pending_results(batch["id"]) == []
    assert catalog.batches.live_ids() == []
    before = catalog.items(batch["id"])
    collect(impatient, catalog)
    assert catalog.items(batch["id"]) == before


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_batch_goes_with_all_that_it_had(catalog: Catalog, impatient: Settings, by_hand: bool) -> None:
    upload = catalog.web.post("/v1/uploads?filename=b.flac", data=b"b").json["upload_id"]
    song = catalog.put_song("catalog/a.flac")
    text = jsonl({"source": song}, {"source": {"upload_id": upload}}, {"source": {}})
    manifest = catalog.web.post("/v1/uploads?filename=m.jsonl", data=text.encode()).json["upload_id"]
    batch = catalog.submit(manifest={"upload_id": manifest})
    assert catalog.web.delete(f"/v1/batches/{batch['id']}").json["code"] == "batch_state_conflict"
    catalog.work_off(batch["id"])
    assert keys_below(catalog, "batches/", "jobs/")
    if by_hand:
        assert catalog.web.delete(f"/v1/batches/{batch['id']}").status_code == 204
    else:
        catalog.batches._redis.zadd(f"{catalog.settings.redis_prefix}batches:settled", {batch["id"]: 1})
    collect(impatient, catalog)
    collect(impatient, catalog)  # of what the batch let go
    assert keys_below(catalog, "batches/", "jobs/", "uploads/") == set()
    assert keys_below(catalog, "catalog/") == {"catalog/a.flac"}, "what others put into storage stays"
    assert catalog.web.get(f"/v1/batches/{batch['id']}").status_code == 404
    left = {k for k in catalog.batches._redis.keys("*") if batch["id"][:24] in k}
    assert left == set()
    assert int(catalog.batches._redis.hget("sq:usage:local", "bytes") or 0) == 0
    assert not any(catalog.stand_in.queue.counts().values())


def test_objects_of_a_batch_that_never_came_to_be_are_removed(catalog: Catalog, impatient: Settings) -> None:
    catalog.storage.put_bytes(b"{}", f"batches/{'a' * 24}00000000/batch.json", "application/json")
    collect(impatient, catalog)
    assert keys_below(catalog, "batches/") == set()
