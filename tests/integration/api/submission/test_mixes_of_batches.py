"""Mixes of the items of batches, and the stems that they read, with real servers."""

from __future__ import annotations

import pytest

from tests.fixtures.api import ENGINE
from tests.fixtures.batches import Catalog
from tests.fixtures.servers import BUCKET
from tests.fixtures.stand_ins.mixes import KARAOKE, mix


def test_a_batchs_stems_are_kept_while_they_are_read(catalog: Catalog) -> None:
    web = catalog.web
    batch = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])
    catalog.work_off(batch["id"])
    job_id = catalog.items(batch["id"])[0]["job_id"]
    reader = mix(web, job_id, KARAOKE).json["id"]
    refused = web.delete(f"/v1/batches/{batch['id']}")
    assert (refused.status_code, refused.json["code"]) == (409, "batch_state_conflict")
    catalog.stand_in.announce({**ENGINE, "version": "2"})
    refused = web.post(f"/v1/batches/{batch['id']}/rerun")
    assert (refused.status_code, refused.json["code"]) == (409, "batch_state_conflict")
    assert "read outputs" in refused.json["detail"]
    catalog.work()
    assert web.get(f"/v1/jobs/{reader}").json["state"] == "succeeded"
    assert web.delete(f"/v1/batches/{batch['id']}").status_code == 204
    gone = mix(web, job_id, KARAOKE)
    assert (gone.status_code, gone.json["code"]) == (404, "job_not_found")


def test_a_batch_whose_reader_an_older_version_ended_is_rerun(catalog: Catalog) -> None:
    web, redis = catalog.web, catalog.batches._redis
    batch = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    catalog.work_off(batch)
    reader = mix(web, catalog.items(batch)[0]["job_id"], KARAOKE).json["id"]
    catalog.work()
    redis.sadd(f"{catalog.settings.redis_prefix}batch:{batch}:readers", reader)
    catalog.stand_in.announce({**ENGINE, "version": "2"})
    assert web.post(f"/v1/batches/{batch}/rerun").status_code == 202


@pytest.mark.parametrize(("letter", "status"), [("s", 202), ("S", 202), ("r", 409), ("q", 409), ("R", 409)])
def test_outputs_of_an_item_that_runs_again_are_not_read(catalog: Catalog, letter: str, status: int) -> None:
    batch = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    catalog.work_off(batch)
    job_id = catalog.items(batch)[0]["job_id"]
    reader = mix(catalog.web, job_id, KARAOKE).json["id"]
    catalog.web.post(f"/v1/jobs/{reader}/cancel")
    # The search of a rerun through the batch has ended; its jobs have not.
    catalog.batches._redis.set(f"{catalog.settings.redis_prefix}batch:{batch}:states", letter)
    again = catalog.web.post(f"/v1/jobs/{reader}/retry")
    assert again.status_code == status, again.text


def test_a_job_that_a_deleted_batch_has_left_is_not_read(catalog: Catalog) -> None:
    batch = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    catalog.feed()
    (job_id,) = catalog.stand_in.published_ids()
    catalog.stand_in.succeed(job_id)
    reader = mix(catalog.web, job_id, KARAOKE).json["id"]
    catalog.web.post(f"/v1/jobs/{reader}/cancel")
    redis, prefix = catalog.batches._redis, catalog.settings.redis_prefix
    redis.delete(f"{prefix}batch:{batch}")
    gone = catalog.web.post(f"/v1/jobs/{reader}/retry")
    assert (gone.status_code, gone.json["code"]) == (410, "source_missing")
    assert not redis.exists(f"{prefix}job:{job_id}:readers")


def test_items_of_a_batch_have_mixes_and_export_them(catalog: Catalog) -> None:
    text = (
        "track,bucket,key,mixes,stems\nA,{0},songs/a.flac,karaoke=minus:vocals;only:vocals,none\nB,{0},songs/b.flac,,\n"
    )
    for key in ("songs/a.flac", "songs/b.flac"):
        catalog.put_song(key)
    batch = catalog.submit(
        manifest=catalog.put_manifest(text.format(BUCKET), "list.csv"),
        defaults={"mixes": ["minus:accompaniment"]},
        export={"bucket": BUCKET, "prefix": "out"},
    )
    catalog.work_off(batch["id"])
    first, second = catalog.items(batch["id"])
    assert [o["url"].split("/", 4)[-1] for o in first["outputs"]] == ["mixes/karaoke", "mixes/only-vocals"]
    assert [o["name"] for o in second["outputs"]] == ["vocals", "accompaniment", "minus-accompaniment"]
    assert catalog.keys_below("out/A/") == {"out/A/karaoke.flac", "out/A/only-vocals.flac"}
    assert "out/B/minus-accompaniment.flac" in catalog.keys_below("out/B/")
    assert first["duration_seconds"] == 1.5
