"""Items done again because another version of their engine is there now."""

from __future__ import annotations

import time

from shared.batches.model import made_by, numbers_of
from shared.batches.stored_items import BatchObjects, Result
from shared.maintenance.garbage_collector import Collector
from tests.fixtures.api import ENGINE
from tests.fixtures.batches import Catalog


def test_what_an_older_engine_made_is_done_again_and_kept_until_then(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"source": source}, {"source": source}, {"source": {}}])["id"]
    catalog.work_off(batch)
    rerun = f"/v1/batches/{batch}/rerun"
    assert catalog.web.post(rerun).json["code"] == "batch_state_conflict", "the engine is what it was"
    before = catalog.items(batch)
    catalog.stand_in.announce({**ENGINE, "version": "2"})
    answer = catalog.web.post(rerun)
    assert (answer.status_code, answer.json["state"], answer.json["rerun_checked"]) == (202, "running", 0)
    catalog.feed()
    assert catalog.read(batch)["rerun_checked"] is None
    first, second = catalog.stand_in.published_ids()
    catalog.stand_in.succeed(first, stem=b"abcdefghij" * 50)
    catalog.stand_in.fail(second)
    catalog.feed()
    after = catalog.items(batch)
    assert (catalog.read(batch)["state"], catalog.read(batch)["counts"]["succeeded"]) == ("ended", 2)
    assert int(catalog.batches._redis.hget("sq:count", "succeeded")) == 2
    assert after[1] == before[1], "a job that was to replace it failed: it keeps what it had"
    assert catalog.web.get(after[0]["outputs"][0]["url"]).data == b"abcdefghij" * 50
    assert catalog.web.get(after[1]["outputs"][0]["url"]).data == b"0123456789" * 100
    patient = catalog.settings.model_copy(update={"upload_abandoned_seconds": 0.05})
    time.sleep(1.1)
    assert Collector(patient, catalog.storage).collect(now=True)
    assert catalog.web.get(after[0]["outputs"][0]["url"]).data == b"abcdefghij" * 50
    assert catalog.web.get(after[1]["outputs"][0]["url"]).data == b"0123456789" * 100
    stems = [k for k in catalog.keys_below("jobs/") if k.endswith(".flac")]
    assert len(stems) == 4, "what was replaced is gone"
    stored = sum(size for key, size, _ in catalog.storage.list_keys("jobs/") if not key.endswith("job.json"))
    items = [
        size
        for key, size, _ in catalog.storage.list_keys("batches/")
        if key.endswith(("items/000000.jsonl", "manifest.jsonl"))
    ]
    assert int(catalog.batches._redis.hget("sq:usage:local", "bytes")) == stored + sum(items)


def put_results(catalog: Catalog, batch: str, versions: list[str]) -> None:
    """Have a batch's items done, each by a version of the engine, as if workers had."""
    objects, redis = BatchObjects(catalog.storage), catalog.batches._redis
    for chunk in range(-(-len(versions) // 500)):
        made = dict(zip(numbers_of(chunk), versions[chunk * 500 : (chunk + 1) * 500], strict=False))
        results = {n: Result(1, 1, 1.5, 0.5, engine_version=v, stems=("vocals",)).to_text() for n, v in made.items()}
        objects.write_results(batch, chunk, "x", results)
        catalog.batches.put_versions(batch, {chunk: "x"})
    redis.set(f"sq:batch:{batch}:states", "s" * len(versions))
    counts = {f"made_{made_by('repetition', v)}": versions.count(v) for v in set(versions)}
    redis.hset(f"sq:batch:{batch}", mapping={**counts, "n_waiting": 0, "n_succeeded": len(versions), "state": "ended"})


def test_a_rerun_of_many_is_answered_before_anybody_looks_and_survives_who_looks(catalog: Catalog) -> None:
    items = [{"source": {"s3": {"bucket": "stems", "key": f"songs/{n}.flac"}}} for n in range(1, 1201)]
    catalog.stand_in.queue.pause("repetition")
    batch = catalog.submit(items=items, defaults={"engine": "repetition"})["id"]
    feeder = catalog.feeder
    feeder._read_manifest(catalog.batches.read_batch(batch))
    versions = ["1" if n % 7 == 0 or n == 1200 else "2" for n in range(1, 1201)]
    put_results(catalog, batch, versions)
    catalog.stand_in.announce({**ENGINE, "version": "2"})
    puts = [key for key, _, _ in catalog.storage.list_keys("batches/")]
    answer = catalog.web.post(f"/v1/batches/{batch}/rerun").json
    assert (answer["state"], answer["rerun_checked"], answer["counts"]["succeeded"]) == ("running", 0, 1200)
    assert catalog.web.delete(f"/v1/batches/{batch}").status_code == 409
    steps = iter([True, False])
    catalog.feeder._reruns.check_chunks(catalog.batches.read_batch(batch), lambda: next(steps))
    stale = catalog.batches.read_batch(batch)
    assert catalog.read(batch)["rerun_checked"] == 500
    assert catalog.read(batch)["state"] == "running"
    for _ in range(2):
        # Whoever takes over, and one who was slow.
        catalog.new_feeder()._reruns.check_chunks(stale, lambda: True)
    done = catalog.read(batch)
    assert done["rerun_checked"] is None
    outdated = [n for n, version in enumerate(versions, 1) if version == "1"]
    assert (done["counts"]["waiting"], done["counts"]["succeeded"]) == (len(outdated), 1200 - len(outdated))
    letters = catalog.batches.read_letters(batch, range(1, 1201))
    assert [n for n, letter in enumerate(letters, 1) if letter == "r"] == outdated
    assert puts == [key for key, _, _ in catalog.storage.list_keys("batches/")], "results stay until there are others"
    again = catalog.web.post(f"/v1/batches/{batch}/rerun")
    assert (again.status_code, again.json["code"]) == (409, "batch_state_conflict"), "what is left is of this version"


def test_a_rerun_that_finds_nothing_ends_the_batch_again(catalog: Catalog) -> None:
    items = [{"source": {"s3": {"bucket": "stems", "key": f"songs/{n}.flac"}}} for n in range(3)]
    batch = catalog.submit(items=items, defaults={"engine": "repetition"})["id"]
    catalog.feeder._read_manifest(catalog.batches.read_batch(batch))
    put_results(catalog, batch, ["1", "1", "1"])
    # Written before there were counts of what made them.
    catalog.batches._redis.hdel(f"sq:batch:{batch}", "made_repetition@1")
    assert catalog.web.post(f"/v1/batches/{batch}/rerun").json["state"] == "running"
    catalog.feed()
    assert (catalog.read(batch)["state"], catalog.read(batch)["counts"]["succeeded"]) == ("ended", 3)


def test_a_cancel_ends_a_rerun_that_still_looks(catalog: Catalog) -> None:
    items = [{"source": {"s3": {"bucket": "stems", "key": f"songs/{n}.flac"}}} for n in range(3)]
    batch = catalog.submit(items=items, defaults={"engine": "repetition"})["id"]
    catalog.feeder._read_manifest(catalog.batches.read_batch(batch))
    put_results(catalog, batch, ["0", "0", "0"])
    assert catalog.web.post(f"/v1/batches/{batch}/rerun").status_code == 202
    canceled = catalog.web.post(f"/v1/batches/{batch}/cancel").json
    assert (canceled["state"], canceled["rerun_checked"], canceled["counts"]["succeeded"]) == ("canceled", None, 3)
    catalog.feed()
    assert catalog.read(batch)["counts"]["succeeded"] == 3


def test_a_cancel_leaves_what_was_to_be_done_again_as_it_was(catalog: Catalog) -> None:
    items = [{"source": catalog.put_song(f"songs/{n}.flac")} for n in range(10)]
    batch = catalog.submit(items=items)["id"]
    catalog.work_off(batch)
    before = catalog.items(batch)
    catalog.stand_in.announce({**ENGINE, "version": "2"})
    assert catalog.web.post(f"/v1/batches/{batch}/rerun").status_code == 202
    catalog.feed()
    assert {"waiting", "queued"} == {state for state, n in catalog.read(batch)["counts"].items() if n}
    assert catalog.web.post(f"/v1/batches/{batch}/cancel").json["state"] == "canceled"
    catalog.feed()
    assert catalog.items(batch) == before
    assert int(catalog.batches._redis.hget("sq:count", "succeeded")) == 10
    assert catalog.web.post(f"/v1/batches/{batch}/retry-failed").status_code == 409, "there is nothing to retry"
    assert catalog.web.post(f"/v1/batches/{batch}/rerun").status_code == 202
    ended = catalog.work_off(batch)
    assert (ended["state"], ended["counts"]["succeeded"]) == ("ended", 10)


def test_an_item_whose_mixture_is_gone_keeps_what_it_has(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"source": source}])["id"]
    catalog.work_off(batch)
    before = catalog.items(batch)
    catalog.stand_in.announce({**ENGINE, "version": "2"})
    catalog.storage.delete(["songs/a.flac"])
    assert catalog.web.post(f"/v1/batches/{batch}/rerun").status_code == 202
    catalog.feed()
    assert (catalog.read(batch)["state"], catalog.items(batch)) == ("ended", before)
