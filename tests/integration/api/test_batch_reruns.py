"""Items done again because another version of their engine is there now."""

from __future__ import annotations

import time

from shared.collector import Collector
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
    assert (answer.status_code, answer.json["state"], answer.json["counts"]["waiting"]) == (202, "running", 2)
    catalog.feed()
    first, second = catalog.stand_in.published_ids()
    catalog.stand_in.succeed(first, stem=b"abcdefghij" * 50)
    catalog.stand_in.fail(second)
    catalog.feed()
    after = catalog.items(batch)
    assert catalog.read(batch)["counts"]["succeeded"] == 2
    assert after[1] == before[1], "a job that was to replace it failed: it keeps what it had"
    assert catalog.web.get(after[0]["outputs"][0]["url"]).data == b"abcdefghij" * 50
    assert catalog.web.get(after[1]["outputs"][0]["url"]).data == b"0123456789" * 100
    patient = catalog.settings.model_copy(update={"upload_abandoned_seconds": 0.05})
    time.sleep(1.1)
    assert Collector(patient, catalog.storage).run(now=True)
    assert catalog.web.get(after[0]["outputs"][0]["url"]).data == b"abcdefghij" * 50
    assert catalog.web.get(after[1]["outputs"][0]["url"]).data == b"0123456789" * 100
    stems = [k for k in catalog.keys_below("jobs/") if k.endswith(".flac")]
    assert len(stems) == 4, "what was replaced is gone"
    stored = sum(size for key, size, _ in catalog.storage.list_keys("jobs/") if not key.endswith("job.json"))
    assert int(catalog.batches._redis.hget("sq:usage:local", "bytes")) == stored
