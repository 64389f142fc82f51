"""Where a batch has its tracks from: lines, tables, prefixes, and what of them is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.batches.model import CHUNK_ITEMS, Batch
from shared.batches.store import BatchStore
from shared.jobs.uploads import UploadStore
from shared.maintenance.owner_usage import read_usage
from tests.fixtures.batches import Catalog, jsonl
from tests.fixtures.servers import BUCKET
from worker.batches import feeder
from worker.batches.manifest_reader import ManifestReader


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


def test_a_format_that_an_engine_cannot_make_is_refused_for_each_item_that_asks_for_it(catalog: Catalog) -> None:
    """Items that differ in the format alone are checked apart: the engine has no drums for a stem file."""
    source = catalog.put_song("songs/a.flac")
    items = ({"source": source, "format": name} for name in ("flac", "stem.mp4", "wav"))
    batch = catalog.submit(manifest=catalog.put_manifest(jsonl(*items)))
    catalog.work_off(batch["id"])
    told = [(i["state"], (i["error"] or {}).get("code")) for i in catalog.items(batch["id"])]
    assert told == [("succeeded", None), ("invalid", "request_invalid"), ("succeeded", None)]


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


def test_a_prefix_stands_for_all_that_may_be_audio_below_it_and_the_rest_is_told(catalog: Catalog) -> None:
    songs = ("...And Justice for All/01 Blackened.flac", ".45.mp3", "a.flac", "disc 1/b.MP3", "take", "voice.qta")
    for name in (*songs, "cover.jpg", "disc 1/._b.MP3", "disc 1/@eaDir/b.MP3/x.jpg", "z.txt"):
        catalog.put_song(f"cat/{name}")
    catalog.put_song("catalog-of-others/c.flac")
    catalog.storage.put_bytes(b"", "cat/disc 1/", "application/x-directory")
    catalog.storage.put_bytes(b"", "cat/empty.wav", "audio/wav")
    batch = catalog.submit(prefix={"bucket": BUCKET, "prefix": "cat/"})
    catalog.work_off(batch["id"])
    assert [i["track"] for i in catalog.items(batch["id"])] == sorted([*songs, "empty.wav"])
    told = catalog.web.get(f"/v1/batches/{batch['id']}").json
    assert told["left_out"] == [
        {"reason": "system", "count": 2, "examples": ["disc 1/._b.MP3", "disc 1/@eaDir/b.MP3/x.jpg"]},
        {"reason": "other", "count": 2, "examples": ["cover.jpg", "z.txt"]},
    ]
    listed = catalog.submit(items=[{"source": catalog.put_song("cat/a.flac")}])
    assert listed["left_out"] == []


def test_a_prefix_without_songs_tells_what_it_has_instead(catalog: Catalog) -> None:
    catalog.put_song("cat/cover.jpg")
    batch = catalog.submit(prefix={"bucket": BUCKET, "prefix": "cat/"})
    catalog.work_off(batch["id"])
    told = catalog.web.get(f"/v1/batches/{batch['id']}").json
    assert (told["state"], told["total"], told["left_out"][0]["count"]) == ("ended", 0, 1)


def test_what_is_left_out_of_a_long_prefix_is_counted_over_all_chunks(catalog: Catalog) -> None:
    for number in range(CHUNK_ITEMS + 1):
        catalog.put_song(f"cat/{number:04}.flac")
    for number in range(0, CHUNK_ITEMS + 1, 100):
        catalog.put_song(f"cat/{number:04}.jpg")
    batch = catalog.submit(prefix={"bucket": BUCKET, "prefix": "cat/"})
    catalog.feed()
    told = catalog.web.get(f"/v1/batches/{batch['id']}").json
    assert (told["total"], told["left_out"][0]["count"]) == (CHUNK_ITEMS + 1, 6)


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


def test_objects_that_no_job_could_take_fail_alone(catalog: Catalog) -> None:
    catalog.settings = catalog.settings.model_copy(update={"max_upload_bytes": 20})
    catalog.feeder = catalog.new_feeder()
    songs = {"good": b"x" * 20, "large": b"x" * 21, "empty": b""}
    items = [{"track": name, "source": catalog.put_song(f"songs/{name}.flac")} for name in songs]
    for name, content in songs.items():
        catalog.storage.put_bytes(content, f"songs/{name}.flac", "audio/flac")
    batch = catalog.submit(items=items)
    catalog.work_off(batch["id"])
    told = {i["track"]: (i["state"], (i["error"] or {}).get("code"), i["job_id"]) for i in catalog.items(batch["id"])}
    assert told["good"][0] == "succeeded"
    assert told["large"] == ("failed", "upload_too_large", None)
    assert told["empty"] == ("failed", "audio_empty", None)


def test_a_manifest_is_read_as_far_as_its_owners_records_may_go(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(manifest=catalog.put_manifest(jsonl(*({"source": source} for _ in range(1200)))))
    limit = int(catalog.stand_in.store._redis.info("memory")["maxmemory"])
    taken = int(catalog.stand_in.store._redis.hget("sq:usage:local", "records") or 0)
    catalog.settings = catalog.settings.model_copy(update={"max_redis_share_per_owner": (taken + 800) / limit})
    catalog.batches = BatchStore(catalog.settings)
    catalog.feeder = catalog.new_feeder()
    catalog.feeder.run_round()
    read = catalog.read(batch["id"])
    assert (read["state"], read["total"]) == ("running", 1000), "two chunks: the second passes the limit"
    assert read["error"]["code"] == "records_quota_exceeded"


def test_a_header_is_found_again_wherever_reading_resumes(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind empty lines, and with characters that only Python takes for the end of a line."""
    monkeypatch.setattr(feeder, "READ_CHUNKS", 1)
    lines = "elsewhere,a.flac,x\n" * (CHUNK_ITEMS + 1)
    batch = catalog.submit(
        manifest=catalog.put_manifest("\n" * 50_000 + "bucket,key,metadata.a\u2028b\n" + lines, "m.csv")
    )
    ended = catalog.work_off(batch["id"])
    assert (ended["total"], ended["error"]) == (CHUNK_ITEMS + 1, None)
    assert {item["error"]["code"] for item in catalog.items(batch["id"])} == {"source_refused"}
    late = {"manifest": catalog.put_manifest("\n" * 70_000 + "bucket,key\n" + lines, "m.csv")}
    refused = catalog.web.post("/v1/batches", json=late)
    assert (refused.status_code, refused.json["code"]) == (422, "manifest_invalid")


def test_a_defect_that_one_batch_meets_holds_up_no_other(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    source = catalog.put_song("songs/a.flac")
    broken, sound = (catalog.submit(items=[{"source": source}])["id"] for _ in range(2))
    read_chunks = ManifestReader.read_chunks

    def with_defect(self: ManifestReader, batch: Batch, chunks: int, proceed: Callable[[], bool]) -> None:
        if batch.id == broken:
            raise RuntimeError("a defect")
        read_chunks(self, batch, chunks, proceed)

    monkeypatch.setattr(ManifestReader, "read_chunks", with_defect)
    assert catalog.work_off(sound)["state"] == "ended"
    assert catalog.read(broken)["state"] == "reading"


def test_items_count_as_stored_bytes_of_their_owner(catalog: Catalog) -> None:
    """A short line may become eight large items, because of the batch's defaults."""

    def counted() -> int:
        return sum(usage.stored_bytes for usage in read_usage(catalog.settings))

    defaults = {"metadata": {"note": "x" * 1_000}, "then": [{"from": "vocals"}]}
    listed = catalog.submit(items=[{"source": {"upload_id": "0" * 32}}] * 3, defaults=defaults)
    upload = catalog.web.post("/v1/uploads?filename=a.flac", data=b"a").json["upload_id"]
    text = jsonl({"source": {"upload_id": upload}}) * (CHUNK_ITEMS // 2 + 1)
    stored = catalog.submit(manifest=catalog.put_manifest(text), defaults=defaults)
    catalog.feed()
    items = [size for key, size, _ in catalog.storage.list_keys("batches/") if not key.endswith("batch.json")]
    assert len(items) == 4, "the list, and its items in one chunk; items in two chunks"
    assert counted() == sum(items) + 1 > 1_000 * CHUNK_ITEMS / 2
    for batch in (listed, stored):
        catalog.web.post(f"/v1/batches/{batch['id']}/cancel")
        catalog.feed()
        assert catalog.web.delete(f"/v1/batches/{batch['id']}").status_code == 204
    assert counted() == 1, "the upload"


def test_a_manifest_is_read_on_once_its_owner_has_room_again(catalog: Catalog) -> None:
    upload = catalog.web.post("/v1/uploads?filename=a.flac", data=b"a" * 1_000).json["upload_id"]
    batch = catalog.submit(manifest=catalog.put_manifest(jsonl({"source": catalog.put_song("songs/a.flac")})))
    full = catalog.settings.model_copy(update={"max_stored_bytes_per_owner": 1_000})
    there = replace(catalog.feeder, uploads=UploadStore(full))
    assert not there.run_round(), "nothing can be done at once"
    assert catalog.read(batch["id"])["state"] == "reading"
    UploadStore(full).drop(upload)
    assert there.run_round()
    assert catalog.read(batch["id"])["total"] == 1
