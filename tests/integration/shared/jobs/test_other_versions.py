"""Old and new processes share Redis and storage: records of a newer version are read, or refused with a clear error."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared.audio.mixes import Mix
from shared.errors import RecordTooNewError
from shared.jobs.archive import FILENAME
from shared.jobs.request import JobRequest, Source
from shared.maintenance.batch_rebuild import BatchRebuild
from shared.maintenance.garbage_collector import Collector
from shared.maintenance.job_rebuild import rebuild_jobs
from shared.parsing import stored_records
from shared.parsing.stored_records import SCHEMA_VERSION
from shared.storage.object_keys import output_key
from tests.fixtures.api import StandIn
from tests.fixtures.batches import Catalog
from tests.fixtures.servers import BUCKET

REQUEST = JobRequest(source=Source("uploads/x", "x.wav", 1), engine="repetition")
NEWER = {"loudness_target": -14}
NEWER_SCHEMA = str(SCHEMA_VERSION + 1)
MIX = Mix("karaoke", {"vocals": None}, 0.0)


def test_a_job_of_a_newer_schema_is_refused_and_left_to_newer_workers(stand_in: StandIn, web: FlaskClient) -> None:
    job = stand_in.store.submit(REQUEST)
    assert stand_in.published_ids() == [job.id]
    stand_in.store._redis.hset(f"sq:job:{job.id}", "schema", NEWER_SCHEMA)
    assert stand_in.store.claims.take(job.id, "stand-in") is None
    assert stand_in.store._redis.hget(f"sq:job:{job.id}", "state") == "queued", "no attempt was begun"
    for read in (
        lambda: stand_in.store.read_job(job.id),
        lambda: stand_in.store.read_jobs([job.id]),
        lambda: stand_in.store.submit(REQUEST, job_id=job.id),
    ):
        with pytest.raises(RecordTooNewError, match=f"A newer version wrote the record of job {job.id}"):
            read()
    answer = web.get(f"/v1/jobs/{job.id}")
    assert (answer.status_code, answer.json["code"]) == (503, "record_too_new")
    stand_in.store._redis.hset(f"sq:job:{job.id}", "schema", "1")
    assert stand_in.claim(job.id).job.attempt == 1


def test_a_document_of_a_newer_schema_is_not_rebuilt(stand_in: StandIn) -> None:
    job = stand_in.store.submit(REQUEST)
    stand_in.published_ids()
    done = stand_in.succeed(job.id)
    key = output_key(job.id, done.fence, FILENAME)
    change_object(stand_in, key, schema=int(NEWER_SCHEMA))
    stand_in.store._redis.flushall()
    with pytest.raises(RecordTooNewError, match=key):
        list(rebuild_jobs(stand_in.store, stand_in.storage))
    change_object(stand_in, key, schema=1, **NEWER)
    assert list(rebuild_jobs(stand_in.store, stand_in.storage)) == [(job.id, True)]
    assert stand_in.store.read_job(job.id).outputs == done.outputs


def test_members_that_a_newer_version_adds_keep_no_batch_from_being_worked_off(catalog: Catalog) -> None:
    song = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"source": song}], export={"bucket": BUCKET, "template": "{track}-{stem}"})["id"]
    redis, record = catalog.batches._redis, f"sq:batch:{batch}"
    request = json.loads(redis.hget(record, "request"))
    for part in (request, request["manifest"], request["export"]):
        part.update(NEWER)
    redis.hset(record, mapping={"request": json.dumps(request), "version": "99999999999999"})
    change_object(catalog.stand_in, f"batches/{batch}/batch.json", **request)
    # So that the item is stored, and no job made of it yet.
    catalog.stand_in.queue.drain("repetition")
    catalog.feed()
    items = f"batches/{batch}/items/000000.jsonl"
    (line,) = read_object(catalog.stand_in, items).splitlines()
    item = json.loads(line)
    for part in (item, item["source"], item["request"]):
        part.update(NEWER)
    catalog.storage.put_bytes(json.dumps(item).encode() + b"\n", items, "application/jsonl")
    catalog.feeder = catalog.new_feeder()
    catalog.stand_in.queue.resume("repetition")
    assert catalog.work_off(batch)["counts"]["succeeded"] == 1
    assert [i["track"] for i in catalog.items(batch)] == ["a"]
    redis.flushall()
    assert dict(BatchRebuild(catalog.batches, catalog.storage).restore_all()) == {batch: True}


def test_a_batch_of_a_newer_schema_is_refused(catalog: Catalog) -> None:
    batch = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    redis = catalog.batches._redis
    redis.hset(f"sq:batch:{batch}", mapping={"schema": NEWER_SCHEMA, "version": "99999999999999"})
    answer = catalog.web.get(f"/v1/batches/{batch}")
    assert (answer.status_code, answer.json["code"]) == (503, "record_too_new")
    with pytest.raises(RecordTooNewError, match=f"record of batch {batch}"):
        catalog.batches.read_batches([batch])
    assert not catalog.feeder.run_round(), "it waits for a newer feeder"
    change_object(catalog.stand_in, f"batches/{batch}/batch.json", schema=int(NEWER_SCHEMA))
    redis.flushall()
    with pytest.raises(RecordTooNewError, match=r"batch\.json"):
        list(BatchRebuild(catalog.batches, catalog.storage).restore_all())


def test_the_collector_removes_nothing_of_a_job_that_it_cannot_read(stand_in: StandIn) -> None:
    job = stand_in.store.submit(REQUEST)
    stand_in.published_ids()
    stand_in.succeed(job.id)
    before = set(stand_in.keys())
    stand_in.store._redis.hset(f"sq:job:{job.id}", "schema", NEWER_SCHEMA)
    with pytest.raises(RecordTooNewError):
        Collector(stand_in.settings, stand_in.storage).collect(now=True)
    assert before <= set(stand_in.keys())


@pytest.mark.parametrize("changes", [{"mixes": (MIX,)}, {"stems": (), "mixes": (MIX,)}, {"format": "stem.mp4"}])
def test_a_job_that_the_first_schema_cannot_tell_is_left_to_this_version(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    redis = stand_in.store._redis
    plain, job = stand_in.store.submit(REQUEST), stand_in.store.submit(replace(REQUEST, **changes))
    assert [redis.hget(f"sq:job:{j.id}", "schema") for j in (plain, job)] == ["1", "2"]
    stand_in.published_ids()
    with monkeypatch.context() as older:
        older.setattr(stored_records, "SCHEMA_VERSION", 1)
        assert stand_in.store.claims.take(job.id, "stand-in") is None
    for ended, schema in ((stand_in.succeed(plain.id), 1), (stand_in.succeed(job.id), 2)):
        document = json.loads(read_object(stand_in, output_key(ended.id, ended.fence, FILENAME)))
        assert document["schema"] == schema
    redis.flushall()
    assert set(rebuild_jobs(stand_in.store, stand_in.storage)) == {(plain.id, True), (job.id, True)}
    assert [redis.hget(f"sq:job:{j.id}", "schema") for j in (plain, job)] == ["1", "2"]


@pytest.mark.parametrize(
    ("defaults", "item", "at_first", "in_the_end"),
    [({}, {}, 1, 1), ({"mixes": ["minus:vocals"]}, {}, 2, 2), ({}, {"mixes": ["minus:vocals"]}, 1, 2)],
)
def test_a_batch_that_the_first_schema_cannot_tell_is_left_to_this_version(
    catalog: Catalog, defaults: dict[str, Any], item: dict[str, Any], at_first: int, in_the_end: int
) -> None:
    song, redis = catalog.put_song("songs/a.flac"), catalog.batches._redis
    batch = catalog.submit(items=[{"source": song}, {"source": song, **item}], defaults=defaults)["id"]
    document = json.loads(read_object(catalog.stand_in, f"batches/{batch}/batch.json"))
    assert (redis.hget(f"sq:batch:{batch}", "schema"), document["schema"]) == (str(at_first), at_first)
    catalog.feed()
    assert redis.hget(f"sq:batch:{batch}", "schema") == str(in_the_end)
    redis.flushall()
    assert dict(BatchRebuild(catalog.batches, catalog.storage).restore_all()) == {batch: True}
    assert redis.hget(f"sq:batch:{batch}", "schema") == str(in_the_end)


def read_object(stand_in: StandIn, key: str) -> bytes:
    return b"".join(stand_in.storage.open(key).chunks())


def change_object(stand_in: StandIn, key: str, **members: Any) -> None:
    """Change or add members of a stored document."""
    document = {**json.loads(read_object(stand_in, key)), **members}
    stand_in.storage.put_bytes(json.dumps(document).encode(), key, "application/json")
