"""Objects of batches: those of existing batches stay, those of deleted ones go, and Redis may lose its data."""

from __future__ import annotations

import time
from typing import Any

import pytest
from click.testing import CliRunner

from shared.maintenance import admin_command
from shared.maintenance import garbage_collector as collector_module
from shared.maintenance.batch_rebuild import BatchRebuild
from shared.maintenance.garbage_collector import Collector
from shared.maintenance.job_rebuild import rebuild_jobs
from shared.maintenance.owner_usage import read_usage
from shared.settings import Settings
from tests.fixtures.api import submit
from tests.fixtures.batches import Catalog, jsonl


@pytest.fixture
def impatient(catalog: Catalog) -> Settings:
    """Settings with which everything without a record counts as old."""
    return catalog.settings.model_copy(update={"upload_abandoned_seconds": 0.05})


def collect(settings: Settings, catalog: Catalog) -> None:
    time.sleep(1.1)  # the storage tells times by the second
    assert Collector(settings, catalog.storage).collect(now=True)


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
    before = catalog.keys_below("")
    collect(impatient, catalog)
    assert before - catalog.keys_below("") == {stray}
    done = [i for i in catalog.items(batch["id"]) if i["state"] == "succeeded"]
    assert len(done) == 2
    for item in done:
        assert catalog.web.get(item["outputs"][0]["url"]).data == b"0123456789" * 100


def test_results_lie_in_storage_once_a_batch_has_ended(catalog: Catalog, impatient: Settings) -> None:
    batch = catalog.submit(items=[{"source": catalog.put_song("catalog/a.flac")}] * 5)
    catalog.work_off(batch["id"])
    assert catalog.batches.feeding.pending_result_numbers(batch["id"]) == []
    assert catalog.batches.feeding.live_ids() == []
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
    assert catalog.keys_below("batches/", "jobs/")
    if by_hand:
        assert catalog.web.delete(f"/v1/batches/{batch['id']}").status_code == 204
    else:
        catalog.batches._redis.zadd(f"{catalog.settings.redis_prefix}batches:settled", {batch["id"]: 1})
    collect(impatient, catalog)
    collect(impatient, catalog)  # of what the batch let go
    assert catalog.keys_below("batches/", "jobs/", "uploads/") == set()
    assert catalog.keys_below("catalog/") == {"catalog/a.flac"}, "what others put into storage stays"
    assert catalog.web.get(f"/v1/batches/{batch['id']}").status_code == 404
    left = {k for k in catalog.batches._redis.keys("*") if batch["id"][:24] in k}
    assert left == set()
    assert int(catalog.batches._redis.hget("sq:usage:local", "bytes") or 0) == 0
    assert not any(catalog.stand_in.statistics.jobs_by_state().values())


def test_a_batch_that_is_read_does_not_keep_others_from_expiring(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "RECORDS_AT_ONCE", 1)
    redis, settled = catalog.batches._redis, f"{catalog.settings.redis_prefix}batches:settled"
    song = catalog.put_song("catalog/a.flac")
    read, other = (catalog.submit(items=[{"source": song}])["id"] for _ in range(2))
    for batch in (read, other):
        catalog.work_off(batch)
    wanted = {"mixes": ["minus:vocals"]}
    assert catalog.web.post(f"/v1/jobs/{catalog.items(read)[0]['job_id']}/mixes", json=wanted).status_code == 202
    redis.zadd(settled, {read: 1, other: 2})
    collection = Collector(catalog.settings, catalog.storage).collect(now=True)
    assert collection
    assert collection.expired_batches == 1
    assert catalog.web.get(f"/v1/batches/{other}").status_code == 404
    assert catalog.web.get(f"/v1/batches/{read}").status_code == 200
    catalog.work()
    assert redis.zscore(settled, read) == int(redis.hget(f"{catalog.settings.redis_prefix}batch:{read}", "expires_ms"))


def test_objects_of_a_batch_that_never_came_to_be_are_removed(catalog: Catalog, impatient: Settings) -> None:
    catalog.storage.put_bytes(b"{}", f"batches/{'a' * 24}00000000/batch.json", "application/json")
    collect(impatient, catalog)
    assert catalog.keys_below("batches/") == set()


def test_a_lost_redis_takes_no_batch_with_it(catalog: Catalog, impatient: Settings) -> None:
    song = catalog.put_song("catalog/a.flac")
    done = catalog.submit(items=[{"source": song}, {"source": {}}, {"source": song}], name="done")["id"]
    catalog.work_off(done, fails=["a.flac"])
    catalog.web.post(f"/v1/batches/{done}/retry-failed")
    catalog.work_off(done)
    half = catalog.submit(items=[{"source": song}] * 600)["id"]
    catalog.feed()
    for job_id in catalog.stand_in.published_ids():
        catalog.stand_in.succeed(job_id)
    collect(impatient, catalog)  # which introduces Redis to the storage
    before, used = catalog.items(done), read_usage(catalog.settings)[0].stored_bytes
    stems = {k for k in catalog.keys_below("jobs/") if k.endswith(".flac")}
    catalog.batches._redis.flushall()
    collect(impatient, catalog)
    assert stems <= catalog.keys_below("jobs/"), "an empty Redis is not believed"
    assert dict(BatchRebuild(catalog.batches, catalog.storage).restore_all()) == {done: True, half: True}
    assert read_usage(catalog.settings)[0].stored_bytes == used
    assert dict(BatchRebuild(catalog.batches, catalog.storage).restore_all()) == {done: False, half: False}
    store, holds = catalog.stand_in.store, catalog.batches.holds_job
    assert list(rebuild_jobs(store, catalog.storage, holds)) == [], "its jobs stay with the batch"
    Collector(impatient, catalog.storage).adopt_storage_instance()
    catalog.stand_in.announce()
    catalog.feed()
    assert catalog.read(done)["state"] == "ended"
    assert catalog.items(done) == before
    counts = catalog.read(half)["counts"]
    assert counts["succeeded"] == 2, "what had ended need not be done again"
    assert catalog.read(half)["total"] == 600
    fences = [int(key.split("/")[2]) for key in stems]
    assert catalog.stand_in.claim(catalog.stand_in.published_ids()[0]).fence > max(fences)
    collect(impatient, catalog)
    assert stems <= catalog.keys_below("jobs/")
    assert catalog.web.get(catalog.items(half)[0]["outputs"][0]["url"]).status_code == 200


def test_a_batch_is_fed_only_after_all_that_its_items_may_read_is_restored(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, stand_in = catalog.web, catalog.stand_in
    single = submit(web).json["id"]
    stand_in.published_ids()
    stand_in.succeed(single)
    other = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    catalog.work_off(other)
    sources = [{"job_id": single, "output": "vocals"}]
    sources.append({"job_id": catalog.items(other)[0]["job_id"], "output": "vocals"})
    batch = catalog.submit(items=[{"source": source} for source in sources])["id"]
    while catalog.read(batch)["state"] == "reading":
        catalog.feed()
    catalog.batches._redis.flushall()
    stand_in.announce()

    def feed_meanwhile(*arguments: Any) -> Any:
        catalog.feed()
        yield from rebuild_jobs(*arguments)
        catalog.feed()

    # Workers go on while the command runs.
    monkeypatch.setattr(admin_command, "rebuild_jobs", feed_meanwhile)
    monkeypatch.setattr(admin_command, "read_settings", lambda _: catalog.settings)
    assert CliRunner().invoke(admin_command.main, ["rebuild"]).exit_code == 0
    catalog.feed()
    assert [(item["state"], item["error"]) for item in catalog.items(batch)] == [("queued", None)] * 2
