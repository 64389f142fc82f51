"""A batch from its submission to its end: what is accepted, counted, canceled, done again."""

from __future__ import annotations

import time

from shared.maintenance.garbage_collector import Collector
from tests.fixtures.batches import Catalog


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


def test_a_track_without_a_name_is_called_by_its_file_also_without_an_ending(catalog: Catalog) -> None:
    names = ["Mr. Brightside", "...Baby One More Time", "b.flac"]
    batch = catalog.submit(items=[{"source": catalog.put_song(f"songs/{name}")} for name in names])
    catalog.feed()
    assert [i["track"] for i in catalog.items(batch["id"])] == ["Mr. Brightside", "...Baby One More Time", "b"]


def test_a_cancel_ends_all_that_has_not_ended(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"track": str(n), "source": source} for n in range(20)])
    catalog.feed()
    catalog.stand_in.succeed(catalog.items(batch["id"])[0]["job_id"])
    running = catalog.stand_in.claim(catalog.items(batch["id"])[1]["job_id"])
    answer = catalog.web.post(f"/v1/batches/{batch['id']}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "canceled")
    assert (answer.json["counts"]["succeeded"], answer.json["counts"]["canceled"]) == (1, 19)
    assert not catalog.stand_in.store.claims.renew(running, stage="separate", progress=0.5), "the claim is lost"
    catalog.feed()
    assert catalog.web.post(f"/v1/batches/{batch['id']}/cancel").json["code"] == "batch_state_conflict"
    assert [i["state"] for i in catalog.items(batch["id"])] == ["succeeded"] + ["canceled"] * 19
    assert catalog.stand_in.statistics.jobs_by_state()["queued"] == 0


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
    assert Collector(patient, catalog.storage).collect(now=True)
    assert len([k for k in catalog.keys_below("jobs/") if k.endswith("job.json")]) == 3, "one for each, of its last end"


def test_a_batch_is_read_and_listed_by_its_owner(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    first, second = (catalog.submit(items=[{"source": source}])["id"] for _ in range(2))
    page = catalog.web.get("/v1/batches?limit=1").json
    assert ([b["id"] for b in page["batches"]], page["has_more"]) == ([second], True)
    rest = catalog.web.get(f"/v1/batches?starting_after={page['next_starting_after']}").json
    assert [b["id"] for b in rest["batches"]] == [first]
    assert catalog.web.get("/v1/batches?limit=1&limit=2").status_code == 422
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
