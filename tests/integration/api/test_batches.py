"""A batch from its submission to its end: what is accepted, counted, listed and reported."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any

from api.app import create_app
from shared.collector import Collector
from tests.fixtures.api import ENGINE
from tests.fixtures.batches import Catalog, jsonl
from tests.fixtures.servers import BUCKET


def test_a_list_of_tracks_is_done_and_told_in_its_order(catalog: Catalog) -> None:
    items = [{"track": f"Track {n}", "source": catalog.put_song(f"songs/{n}.flac")} for n in range(3)]
    batch = catalog.submit(items=items, name="album")
    assert (batch["state"], batch["name"], batch["total"]) == ("reading", "album", 0)
    ended = catalog.work_off(batch["id"], fails=["1.flac"])
    assert ended["state"] == "ended"
    assert ended["counts"] == {
        **dict.fromkeys(("waiting", "queued", "running", "canceled", "invalid"), 0),
        "succeeded": 2,
        "failed": 1,
    }
    assert ended["audio_seconds"] == 3.0
    told = catalog.items(batch["id"])
    assert [(i["number"], i["track"], i["state"]) for i in told] == [
        (1, "Track 0", "succeeded"),
        (2, "Track 1", "failed"),
        (3, "Track 2", "succeeded"),
    ]
    assert told[1]["error"]["code"] == "audio_unreadable"
    assert [o["name"] for o in told[0]["outputs"]] == ["vocals", "accompaniment"]
    stem = catalog.web.get(told[0]["outputs"][0]["url"])
    assert stem.data == b"0123456789" * 100
    assert catalog.web.get(f"/v1/jobs/{told[1]['job_id']}").json["error"]["code"] == "audio_unreadable"


def test_a_bad_line_is_told_with_its_number_and_harms_no_other(catalog: Catalog) -> None:
    good = catalog.put_song("songs/good.flac")
    text = (
        jsonl({"source": good})
        + "no json\n\n"
        + jsonl(
            {"track": "x", "source": good, "engine": "nonesuch"},
            {"source": {"s3": {"bucket": "elsewhere", "key": "a.flac"}}},
            {"source": {"upload_id": "0" * 32}},
            {"source": {"upload_id": "a:jobs"}},
            {"source": {"url": "http://example.org/a.mp3"}},
            {"source": {"s3": {"bucket": BUCKET, "key": "songs/gone.flac"}}},
            ["no", "object"],
        )
        + "x" * 70_000
        + "\n"
        + jsonl({"track": "last", "source": good, "format": "mp3", "bitrate_kbps": 320})
    )
    batch = catalog.submit(manifest=catalog.put_manifest(text))
    ended = catalog.work_off(batch["id"])
    assert (ended["state"], ended["total"]) == ("ended", 11)
    told = [(i["line"], i["state"], (i["error"] or {}).get("code")) for i in catalog.items(batch["id"])]
    assert told == [
        (1, "succeeded", None),
        (2, "invalid", "request_invalid"),
        (4, "invalid", "request_invalid"),
        (5, "invalid", "source_refused"),
        (6, "invalid", "source_missing"),
        (7, "invalid", "request_invalid"),
        (8, "invalid", "source_refused"),
        (9, "failed", "source_missing"),
        (10, "invalid", "request_invalid"),
        (11, "invalid", "request_invalid"),
        (12, "succeeded", None),
    ]
    last = catalog.items(batch["id"])[-1]
    job = catalog.web.get(f"/v1/jobs/{last['job_id']}").json
    assert (job["format"], job["format_options"]) == ("mp3", {"bitrate_kbps": 320})


def test_a_table_is_a_manifest_too(catalog: Catalog) -> None:
    catalog.put_song("songs/a.flac")
    upload = catalog.web.post("/v1/uploads?filename=b.flac", data=b"b").json
    text = (
        "\ufefftrack,bucket,key,upload_id,format,stems,start_seconds,duration_seconds,metadata.isrc,parameters.margin\r\n"
        f'"A, with a comma",{BUCKET},songs/a.flac,,wav,vocals,1.5,10,X1,1.5\r\n'
        f'"never closed,{BUCKET},songs/a.flac,,,,,,,\r\n'
        f",,,{upload['upload_id']},,,,,,\r\n"
        "too,few\r\n"
    )
    batch = catalog.submit(manifest=catalog.put_manifest(text, "m.csv"), defaults={"metadata": {"label": "L"}})
    catalog.work_off(batch["id"])
    first, second, third, fourth = catalog.items(batch["id"])
    assert (first["line"], first["track"], first["state"]) == (2, "A, with a comma", "succeeded")
    assert (second["state"], third["state"], fourth["state"]) == ("invalid", "succeeded", "invalid")
    assert (third["track"], third["input_sha256"]) == ("b", upload["sha256"])
    job = catalog.web.get(f"/v1/jobs/{first['job_id']}").json
    assert (job["format"], job["stems_wanted"], job["parameters"]) == ("wav", ["vocals"], {"margin": 1.5})
    assert job["excerpt"] == {"start_seconds": 1.5, "duration_seconds": 10.0}
    assert job["metadata"] == {"label": "L", "isrc": "X1"}


def test_a_prefix_stands_for_all_the_audio_below_it(catalog: Catalog) -> None:
    for key in ("cat/a.flac", "cat/disc 1/b.MP3", "cat/cover.jpg", "cat/.hidden.flac", "catalog-of-others/c.flac"):
        catalog.put_song(key)
    batch = catalog.submit(prefix={"bucket": BUCKET, "prefix": "cat/"})
    catalog.work_off(batch["id"])
    assert [i["track"] for i in catalog.items(batch["id"])] == ["a.flac", "disc 1/b.MP3"]


def test_reports_have_a_row_for_each_item(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"track": "=1+1", "source": source}, {"source": {}}])
    catalog.work_off(batch["id"])
    table = catalog.web.get(f"/v1/batches/{batch['id']}/report.csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [(r["number"], r["track"], r["state"], r["error_code"]) for r in rows] == [
        ("1", "'=1+1", "succeeded", ""),
        ("2", "", "invalid", "request_invalid"),
    ]
    assert rows[0]["outputs"].split(" ")[0].endswith("/stems/vocals")
    lines = catalog.web.get(f"/v1/batches/{batch['id']}/report.jsonl").text.splitlines()
    assert [json.loads(line) for line in lines] == catalog.items(batch["id"])


def test_items_are_listed_page_by_page_and_by_state(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"track": str(n), "source": source if n % 3 else {}} for n in range(30)])
    catalog.feed()
    assert len(catalog.items(batch["id"], limit=7)) == 30
    states = [i["state"] for i in catalog.items(batch["id"], limit=7)]
    assert states.count("invalid") == 10
    assert states.count("queued") == 8, "no more jobs are made than will soon run"
    for state in ("invalid", "queued", "waiting"):
        listed = catalog.items(batch["id"], limit=4, state=state)
        assert [i["number"] for i in listed] == [n + 1 for n, s in enumerate(states) if s == state]


def test_a_cancel_ends_all_that_has_not_ended(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"track": str(n), "source": source} for n in range(20)])
    catalog.feed()
    catalog.stand_in.succeed(catalog.items(batch["id"])[0]["job_id"])
    running = catalog.stand_in.claim(catalog.items(batch["id"])[1]["job_id"])
    answer = catalog.web.post(f"/v1/batches/{batch['id']}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "canceled")
    assert (answer.json["counts"]["succeeded"], answer.json["counts"]["canceled"]) == (1, 19)
    assert not catalog.stand_in.store.beat(running, stage="separate", progress=0.5), "the claim is lost"
    catalog.feed()
    assert catalog.web.post(f"/v1/batches/{batch['id']}/cancel").json["code"] == "batch_state_conflict"
    assert [i["state"] for i in catalog.items(batch["id"])] == ["succeeded"] + ["canceled"] * 19
    assert catalog.stand_in.queue.counts()["queued"] == 0


def test_what_failed_is_done_again(catalog: Catalog) -> None:
    items = [{"source": catalog.put_song(f"songs/{n}.flac")} for n in range(3)]
    batch = catalog.submit(items=items)
    catalog.work_off(batch["id"], fails=["0.flac", "2.flac"])
    answer = catalog.web.post(f"/v1/batches/{batch['id']}/retry-failed")
    assert (answer.status_code, answer.json["state"], answer.json["counts"]["waiting"]) == (202, "running", 2)
    ended = catalog.work_off(batch["id"])
    assert (ended["counts"]["succeeded"], ended["counts"]["failed"]) == (3, 0)
    assert [i["state"] for i in catalog.items(batch["id"])] == ["succeeded"] * 3
    assert catalog.web.post(f"/v1/batches/{batch['id']}/retry-failed").status_code == 409
    time.sleep(1.1)
    patient = catalog.settings.model_copy(update={"upload_abandoned_seconds": 0.05})
    assert Collector(patient, catalog.storage).run(now=True)
    assert len([k for k in catalog.keys_below("jobs/") if k.endswith("job.json")]) == 3, "one for each, of its last end"


def test_a_batch_is_read_and_listed_by_its_owner(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    first, second = (catalog.submit(items=[{"source": source}])["id"] for _ in range(2))
    page = catalog.web.get("/v1/batches?limit=1").json
    assert ([b["id"] for b in page["batches"]], page["has_more"]) == ([second], True)
    rest = catalog.web.get(f"/v1/batches?starting_after={page['next_starting_after']}").json
    assert [b["id"] for b in rest["batches"]] == [first]
    answer = catalog.web.get(f"/v1/batches/{first}")
    again = catalog.web.get(f"/v1/batches/{first}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert catalog.web.get(f"/v1/jobs/{'z' * 32}").json["code"] == "job_not_found"
    assert catalog.web.get(f"/v1/batches/{'a' * 32}").json["code"] == "batch_not_found"


def test_the_same_submission_again_is_the_same_batch(catalog: Catalog) -> None:
    body = {"items": [{"source": catalog.put_song("songs/a.flac")}]}
    first, second = (catalog.web.post("/v1/batches", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json["id"] == second.json["id"]
    assert len(catalog.web.get("/v1/batches").json["batches"]) == 1


def test_what_is_no_batch_is_refused_at_once(catalog: Catalog) -> None:
    def refusal(**body: Any) -> tuple[int, str]:
        answer = catalog.web.post("/v1/batches", json=body)
        return answer.status_code, answer.json["code"]

    song = {"source": catalog.put_song("songs/a.flac")}
    assert refusal() == (422, "request_invalid")
    assert refusal(items=[]) == (422, "request_invalid")
    assert refusal(items=[song], prefix={"bucket": BUCKET}) == (422, "request_invalid")
    assert refusal(items=[song], defaults={"engine": "nonesuch"}) == (422, "request_invalid")
    assert refusal(items=[song], webhook_url="http://example.org/") == (422, "request_invalid")
    assert refusal(prefix={"bucket": "elsewhere"}) == (422, "source_refused")
    assert refusal(manifest={"s3": {"bucket": "elsewhere", "key": "m.csv"}}) == (422, "source_refused")
    assert refusal(manifest={"s3": {"bucket": BUCKET, "key": "m.csv"}}) == (410, "source_missing")
    assert refusal(manifest={"upload_id": "0" * 32}) == (410, "source_missing")
    assert refusal(manifest=catalog.put_manifest("no,such,column\n1,2,3\n", "m.csv")) == (422, "manifest_invalid")
    assert refusal(manifest=catalog.put_manifest("\n\n")) == (422, "manifest_invalid")
    assert refusal(items=[song], export={"bucket": "elsewhere"}) == (422, "export_refused")
    assert refusal(items=[song], export={"bucket": BUCKET, "template": "{track}"}) == (422, "request_invalid")
    assert catalog.web.get("/v1/batches").json["batches"] == []


def test_stems_are_exported_under_safe_names(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    items = [{"track": t, "source": source} for t in ("../../etc/passwd", "Disc 1/Käse: part 1", "x" * 1000)]
    export = {"bucket": BUCKET, "prefix": "catalog-out", "template": "{track}/{number}-{stem}.{format}"}
    batch = catalog.submit(items=items, export=export, defaults={"format": "mp3"})
    ended = catalog.work_off(batch["id"])
    first, second, third = catalog.items(batch["id"])
    assert first["exported"][0] == f"s3://{BUCKET}/catalog-out/etc/passwd/000001-vocals.mp3"
    assert second["exported"][1] == f"s3://{BUCKET}/catalog-out/Disc 1/Käse_ part 1/000002-accompaniment.mp3"
    assert (third["state"], third["error"]["code"], third["exported"]) == ("failed", "export_failed", [])
    assert ended["counts"]["failed"] == 1
    for place in first["exported"]:
        key = place.removeprefix(f"s3://{BUCKET}/")
        assert len(b"".join(catalog.storage.open(key).chunks())) == 1000
    assert len(catalog.keys_below("catalog-out/")) == 4


def test_a_batch_has_not_ended_before_its_stems_are_exported(catalog: Catalog) -> None:
    allowed = catalog.settings.model_copy(update={"export_buckets": "not-there"})
    catalog.web = create_app(allowed).test_client()
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"source": source}], export={"bucket": "not-there"})
    catalog.feed()
    for job_id in catalog.stand_in.published_ids():
        catalog.stand_in.succeed(job_id)
    for _ in range(4):
        catalog.feeder.run()
        assert catalog.read(batch["id"])["state"] == "running"
    catalog.feeder.run()
    ended = catalog.read(batch["id"])
    assert (ended["state"], ended["counts"]["failed"]) == ("ended", 1)
    (item,) = catalog.items(batch["id"])
    assert item["error"]["code"] == "export_failed"
    assert catalog.web.get(f"/v1/jobs/{item['job_id']}/stems/vocals").status_code == 200, "what was made is kept"


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


def test_a_preflight_tells_what_a_batch_will_need_and_makes_nothing(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    items = [{"source": source}] * 9 + [{"source": source, "format": "mp3"}, {"source": {}}]
    path = "/v1/batches/preflight"
    before = catalog.web.post(path, json={"items": items}).json
    assert (before["items"], before["invalid"], before["hours"], before["storage_bytes"]) == (10, 1, None, None)
    assert (before["bad_lines"][0]["line"], before["complete"], before["slots"]) == (11, True, 1)
    batch = catalog.submit(items=items)
    catalog.work_off(batch["id"])
    catalog.batches._redis.set("sq:pace:repetition", 36_000)
    made = sum(size for key, size, _ in catalog.storage.list_keys("jobs/") if not key.endswith("job.json")) // 10
    keys = catalog.keys_below("")
    for body in ({"items": items}, {"manifest": catalog.put_manifest(jsonl(*items))}):
        needs = catalog.web.post(path, json=body).json
        assert (needs["items"], needs["hours"]) == (10, 0.1)
        assert needs["storage_bytes"] == 10 * made
        assert [(w["format"], w["items"], w["seconds_each"]) for w in needs["work"]] == [
            ("flac", 9, 36),
            ("mp3", 1, 36),
        ]
    assert len(catalog.keys_below("") - keys) == 1, "the manifest that the test put there"
    assert catalog.web.post(path, json={"items": items, "export": {"bucket": "x-y"}}).json["code"] == "export_refused"
    assert len(catalog.web.get("/v1/batches").json["batches"]) == 1


def test_jobs_of_a_batch_are_read_alone_and_changed_with_it(catalog: Catalog) -> None:
    batch = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}] * 2)
    catalog.work_off(batch["id"], fails=["a.flac"])
    job_id = catalog.items(batch["id"])[0]["job_id"]
    job = catalog.web.get(f"/v1/jobs/{job_id}").json
    assert (job["state"], job["batch_id"]) == ("failed", batch["id"])
    assert catalog.web.get("/v1/jobs").json["jobs"] == []
    for answer in (
        catalog.web.delete(f"/v1/jobs/{job_id}"),
        catalog.web.post(f"/v1/jobs/{job_id}/retry"),
        catalog.web.post(f"/v1/jobs/{job_id}/cancel"),
    ):
        assert (answer.status_code, answer.json["code"]) == (409, "job_state_conflict")
