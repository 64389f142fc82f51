"""Items of a batch that continue other items, because their line has `then`, with real servers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.batches import item_status, model
from shared.errors import SourceFailedError, SourceMissingError
from shared.jobs.archive import newest_document
from tests.fixtures.batches import Catalog
from worker.batches import manifest_reader, reruns

THEN = [{"from": "vocals", "then": [{"from": "vocals", "format": "mp3"}]}, {"from": "accompaniment"}]


def states(catalog: Catalog, batch_id: str) -> list[str]:
    return [item["state"] for item in catalog.items(batch_id)]


def song(catalog: Catalog, name: str, **more: Any) -> dict[str, Any]:
    return {"source": catalog.put_song(f"songs/{name}.flac"), **more}


def test_a_line_becomes_an_item_for_each_job_of_its_chain(catalog: Catalog) -> None:
    items = [song(catalog, "a", track="A"), song(catalog, "b", then=[]), song(catalog, "c", engine="none")]
    batch = catalog.submit(items=items, defaults={"then": THEN})["id"]
    catalog.feed()
    listed = catalog.items(batch)
    assert [(i["number"], i["line"], i["track"]) for i in listed[:5]] == [
        *((1, 1, "A"), (2, 1, "A - vocals"), (3, 1, "A - vocals - vocals"), (4, 1, "A - accompaniment"), (5, 2, "b")),
    ]
    assert [i["state"] for i in listed] == [*["queued"] * 5, *["invalid"] * 4], "clients can number the items"
    first, lead = (catalog.web.get(f"/v1/jobs/{i['job_id']}").json for i in listed[:2])
    assert first["then"] == [
        {"job_id": listed[1]["job_id"], "output": "vocals"},
        {"job_id": listed[3]["job_id"], "output": "accompaniment"},
    ]
    assert (lead["waiting_for"], lead["source"]["job_id"]) == ("source", first["id"])
    ended = catalog.work_off(batch)
    assert ended["counts"] == {**ended["counts"], "succeeded": 5, "invalid": 4}
    deep = catalog.web.get(f"/v1/jobs/{listed[2]['job_id']}").json
    assert (deep["source"]["filename"], deep["format"]) == ("a - vocals - vocals.flac", "mp3")
    assert catalog.web.delete(f"/v1/batches/{batch}").status_code == 204


def test_chains_reach_over_the_ends_of_chunks(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are small here; the cursor between them stands within a line."""
    for module in (model, item_status, manifest_reader, reruns):
        monkeypatch.setattr(module, "CHUNK_ITEMS", 3)
    lines = "\n".join(json.dumps({"bucket": catalog.storage.bucket, "key": f"songs/{n}.flac"}) for n in range(5))
    for n in range(5):
        catalog.put_song(f"songs/{n}.flac")
    batch = catalog.submit(manifest=catalog.put_manifest(lines), defaults={"then": THEN})["id"]
    monkeypatch.setattr("worker.batches.feeder.READ_CHUNKS", 2)
    catalog.feeder = catalog.new_feeder()
    catalog.feed()
    listed = catalog.items(batch)
    assert [i["number"] for i in listed] == [*range(1, 21)]
    assert [i["track"] for i in listed[4:8]] == ["1", "1 - vocals", "1 - vocals - vocals", "1 - accompaniment"]
    assert catalog.work_off(batch)["counts"]["succeeded"] == 20


def test_many_chains_leave_no_slot_idle(catalog: Catalog) -> None:
    songs = [song(catalog, str(n)) for n in range(12)]
    batch = catalog.submit(items=songs, defaults={"then": THEN})["id"]
    catalog.feed()
    waiting_for = [
        catalog.web.get(f"/v1/jobs/{i['job_id']}").json["waiting_for"] for i in catalog.items(batch) if i["job_id"]
    ]
    assert waiting_for.count(None) >= 8, "the jobs that wait for others are not counted among those that may run"
    assert catalog.work_off(batch)["counts"]["succeeded"] == 48
    redis, prefix = catalog.stand_in.store._redis, catalog.settings.redis_prefix
    assert redis.hget(f"{prefix}batch:{batch}", "n_awaiting") == "0"


def test_a_failed_item_ends_what_continues_it_and_a_retry_runs_all_again(catalog: Catalog) -> None:
    batch = catalog.submit(items=[song(catalog, "a"), song(catalog, "b")], defaults={"then": THEN})["id"]
    ended = catalog.work_off(batch, fails=["a.flac"])
    assert (ended["counts"]["failed"], ended["counts"]["succeeded"]) == (4, 4)
    first, lead = catalog.items(batch)[:2]
    assert lead["error"]["code"] == "source_failed"
    assert first["job_id"] in lead["error"]["message"]
    assert catalog.web.post(f"/v1/batches/{batch}/retry-failed").status_code == 202
    assert catalog.work_off(batch)["counts"]["succeeded"] == 8


def test_only_what_failed_runs_again(catalog: Catalog) -> None:
    batch = catalog.submit(items=[song(catalog, "a", then=THEN)])["id"]
    catalog.work_off(batch, fails=["a - vocals.flac"])
    assert states(catalog, batch) == ["succeeded", "failed", "failed", "succeeded"]
    catalog.web.post(f"/v1/batches/{batch}/retry-failed")
    catalog.feed()
    assert states(catalog, batch) == ["succeeded", "queued", "queued", "succeeded"]
    catalog.work_off(batch)
    assert states(catalog, batch) == ["succeeded"] * 4


def test_an_item_without_a_job_ends_what_continues_it(catalog: Catalog) -> None:
    item = {"source": {"s3": {"bucket": catalog.storage.bucket, "key": "songs/none.flac"}}, "then": THEN}
    batch = catalog.submit(items=[item])["id"]
    catalog.feed()
    codes = [item["error"]["code"] for item in catalog.items(batch)]
    assert codes == ["source_missing", *["source_failed"] * 3]
    assert catalog.read(batch)["state"] == "ended"


def test_a_canceled_batch_counts_each_item_once(catalog: Catalog) -> None:
    batch = catalog.submit(items=[song(catalog, "a", then=THEN)])["id"]
    catalog.feed()
    assert catalog.web.post(f"/v1/batches/{batch}/cancel").status_code == 202
    catalog.feed()
    counts = catalog.read(batch)["counts"]
    assert (counts["canceled"], counts["queued"]) == (4, 0)
    assert states(catalog, batch) == ["canceled"] * 4


def test_a_canceled_source_counts_what_waits_for_it_once(catalog: Catalog) -> None:
    """HINCRBY by Lua's -0 is an error in Redis 7, though not in Valkey, and would stop the script half-way."""
    batch = catalog.submit(items=[song(catalog, "a", then=THEN)])["id"]
    catalog.feed()
    first = catalog.items(batch)[0]["job_id"]
    redis, commands = catalog.stand_in.store._redis, list[str]()
    with redis.monitor() as monitor:
        assert catalog.web.post(f"/v1/jobs/{first}/cancel").status_code == 200
        redis.echo("done")
        while "ECHO" not in (command := monitor.next_command()["command"]):
            commands += [command] if command.startswith("HINCRBY") and "n_awaiting" in command else []
    assert [command.split()[-1] for command in commands] == ["-1"] * 3
    assert states(catalog, batch) == ["canceled"] * 4


def test_a_cancel_of_an_ended_item_cancels_the_items_after_it(catalog: Catalog) -> None:
    """The record of an ended item is gone; only its result is kept."""
    batch = catalog.submit(items=[song(catalog, "a", then=THEN)])["id"]
    catalog.feed()
    first = catalog.items(batch)[0]["job_id"]
    assert catalog.stand_in.published_ids() == [first]
    catalog.stand_in.succeed(first)
    catalog.feed()
    assert catalog.stand_in.store._redis.exists(f"{catalog.settings.redis_prefix}job:{first}") == 0
    assert states(catalog, batch)[0] == "succeeded"
    canceled = catalog.web.post(f"/v1/jobs/{first}/cancel")
    assert (canceled.status_code, canceled.json["state"]) == (200, "succeeded")
    assert states(catalog, batch) == ["succeeded", *["canceled"] * 3]
    catalog.feed()
    assert catalog.web.post(f"/v1/jobs/{first}/cancel").status_code == 409


def test_an_item_that_ended_after_its_job_is_no_source_to_wait_for(catalog: Catalog) -> None:
    batch = catalog.submit(items=[song(catalog, "a")])["id"]
    catalog.work_off(batch)
    sources = catalog.feeder._sources
    record = catalog.batches.read_batch(batch)
    source, awaits = sources.output_of_item(record, 1, "vocals")
    assert (source.filename, awaits) == ("a - vocals.flac", None)
    redis, prefix = catalog.stand_in.store._redis, catalog.settings.redis_prefix
    redis.set(f"{prefix}batch:{batch}:states", "f")  # as when its outputs cannot be exported
    with pytest.raises(SourceFailedError, match="after its job succeeded"):
        sources.output_of_item(record, 1, "vocals")
    redis.set(f"{prefix}batch:{batch}:states", "s")
    catalog.storage.delete([newest_document(catalog.storage, model.job_id_of(batch, 1)) or ""])
    with pytest.raises(SourceMissingError, match="no longer in the storage"):
        sources.output_of_item(record, 1, "vocals")


def test_what_is_wrong_with_the_defaults_is_said(catalog: Catalog) -> None:
    answer = catalog.web.post("/v1/batches", json={"items": [{}], "defaults": {"then": [{"from": "drums"}]}})
    assert answer.json["errors"][0]["field"] == "defaults.then.0.from"


def test_a_csv_has_a_column_for_it(catalog: Catalog) -> None:
    catalog.put_song("songs/a.flac")
    then = '"[{""from"": ""vocals""}]"'
    text = f"bucket;key;then\n{catalog.storage.bucket};songs/a.flac;{then}\n"
    batch = catalog.submit(manifest=catalog.put_manifest(text, "list.csv"))["id"]
    catalog.work_off(batch)
    assert states(catalog, batch) == ["succeeded", "succeeded"]
