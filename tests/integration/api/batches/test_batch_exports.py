"""Copies of a batch's stems in another bucket: where they go, what they are called, and that none is lost."""

from __future__ import annotations

from api.app import create_app
from shared.batches.model import CHUNK_ITEMS
from shared.jobs.uploads import UploadStore
from shared.maintenance.batch_rebuild import BatchRebuild
from shared.queue.engine_catalog import EngineCatalog
from tests.fixtures.batches import Catalog, jsonl
from tests.fixtures.servers import BUCKET
from worker.batches.manifest_reader import ManifestReader


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


def test_no_copy_takes_the_place_of_another_tracks(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    wishes = [{"track": "Intro"}, {"track": "intro"}, {"track": "Intro (4)"}, {"track": "Intro"}, {"track": ":ntro"}]
    items = [{**wish, "source": source} for wish in (*wishes, {"track": "?ntro"}, {"track": "Intro", "format": "mp3"})]
    batch = catalog.submit(items=[*items, {"track": "Intro"}], export={"bucket": BUCKET, "prefix": "out"})
    catalog.work_off(batch["id"])
    told = catalog.items(batch["id"])
    assert [(i["exported"] or [""])[0].removeprefix(f"s3://{BUCKET}/out/") for i in told] == [
        "Intro/vocals.flac",
        "intro/vocals.flac",
        "Intro (4)/vocals.flac",
        "Intro (4) (4)/vocals.flac",
        "_ntro/vocals.flac",
        "_ntro (6)/vocals.flac",
        "Intro/vocals.mp3",
        "",
    ]
    assert [i["track"] for i in told[:4]] == ["Intro", "intro", "Intro (4)", "Intro"], "tracks are called as before"
    assert len(catalog.keys_below("out/")) == 2 * 7
    again = catalog.submit(items=items[:1], export={"bucket": BUCKET, "prefix": "out"})
    catalog.work_off(again["id"])
    assert catalog.items(again["id"])[0]["exported"] == told[0]["exported"], "a later batch replaces its copies"


def test_names_of_copies_are_told_apart_however_far_apart_their_lines_are(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    tracks = ["same", *(f"{n}" for n in range(2, CHUNK_ITEMS + 1)), "same"]
    text = jsonl(*({"track": track, "source": source} for track in tracks))
    for template, named in (("{track}/{stem}", f"same ({CHUNK_ITEMS + 1})"), ("{track} {number} {stem}", None)):
        export = {"bucket": BUCKET, "template": template}
        batch = catalog.submit(manifest=catalog.put_manifest(text), export=export)
        catalog.feed()
        last = catalog.feeder.objects.read_items(batch["id"], 1, [CHUNK_ITEMS + 1])[0]
        assert (last.track, last.export_track) == ("same", named)
        assert not catalog.batches._redis.exists(f"sq:batch:{batch['id']}:marks"), "nothing of it stays in Redis"


def test_names_of_copies_are_remembered_when_redis_is_lost_in_the_middle_of_a_manifest(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    text = jsonl(*({"track": f"{n % (CHUNK_ITEMS + 9)}", "source": source} for n in range(CHUNK_ITEMS + 10)))
    batch = catalog.submit(manifest=catalog.put_manifest(text), export={"bucket": BUCKET})["id"]
    reader = ManifestReader(
        catalog.settings,
        UploadStore(catalog.settings),
        catalog.batches,
        catalog.storage,
        EngineCatalog(catalog.settings, catalog.stand_in.queue, catalog.stand_in.workers),
    )
    reader.read_chunks(catalog.batches.read_batch(batch), 1, lambda: False)
    assert catalog.read(batch)["total"] == CHUNK_ITEMS
    catalog.batches._redis.flushall()
    catalog.stand_in.announce()
    assert dict(BatchRebuild(catalog.batches, catalog.storage).restore_all()) == {batch: True}
    catalog.feed()
    assert catalog.read(batch)["total"] == CHUNK_ITEMS + 10
    last = catalog.feeder.objects.read_items(batch, 1, [CHUNK_ITEMS + 10])[0]
    assert (last.track, last.export_track) == ("0", f"0 ({CHUNK_ITEMS + 10})")


def test_a_batch_has_not_ended_before_its_stems_are_exported(catalog: Catalog) -> None:
    allowed = catalog.settings.model_copy(update={"export_buckets": "not-there"})
    catalog.web = create_app(allowed).test_client()
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"source": source}], export={"bucket": "not-there"})
    catalog.feed()
    for job_id in catalog.stand_in.published_ids():
        catalog.stand_in.succeed(job_id)
    for _ in range(8):
        catalog.new_feeder().run_round()
        standing = catalog.read(batch["id"])
        assert (standing["state"], standing["counts"]["failed"]) == ("running", 0), "a missing bucket is waited for"
    (item,) = catalog.items(batch["id"])
    assert catalog.web.get(f"/v1/jobs/{item['job_id']}/stems/vocals").status_code == 200, "what was made is kept"
