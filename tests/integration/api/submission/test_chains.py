"""Jobs whose mixture is a stem or mix of another job, with real servers."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from shared.api_keys import ApiKeys
from shared.maintenance.garbage_collector import Collector
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from tests.fixtures.api import StandIn, submit
from tests.fixtures.batches import Catalog
from tests.fixtures.network.picky_storage import picky_storage
from tests.fixtures.ports import find_free


def chain(
    web: FlaskClient, job_id: str, output: str, headers: dict[str, str] | None = None, **more: Any
) -> TestResponse:
    body = {"source": {"job_id": job_id, "output": output}, **more}
    return web.post("/v1/jobs", json=body, headers=headers)


@pytest.fixture
def ended(web: FlaskClient, stand_in: StandIn) -> dict[str, Any]:
    """A job that has two stems and a mix."""
    job_id = submit(web, mixes="karaoke=minus:vocals").json["id"]
    stand_in.published_ids()
    stand_in.succeed(job_id)
    job: dict[str, Any] = web.get(f"/v1/jobs/{job_id}").json
    return job


def test_a_stem_or_mix_of_an_ended_job_is_a_mixture(web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]) -> None:
    for output in (ended["stems"][0], ended["mixes"][0]):
        answer = chain(web, ended["id"], output["name"], preset="fast")
        assert answer.status_code == 202, answer.text
        source = answer.json["source"]
        assert (source["job_id"], source["output"]) == (ended["id"], output["name"])
        assert source["filename"] == f"song - {output['name']}.flac"
        assert (source["size_bytes"], source["sha256"]) == (output["size_bytes"], output["sha256"])
        assert web.get(source["url"]).data == web.get(output["url"]).data
        request = stand_in.store.read_job(answer.json["id"]).request
        assert request.source.duration_seconds == output["duration_seconds"]
        assert request.source.outputs == (), "it separates, and does not mix"


def test_the_length_is_known_and_teaches_nothing_about_files(
    web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]
) -> None:
    redis, prefix = stand_in.store._redis, stand_in.settings.redis_prefix
    learnt = redis.hgetall(f"{prefix}lengths")
    job_id = chain(web, ended["id"], "vocals").json["id"]
    assert redis.hget(f"{prefix}job:{job_id}", "audio_ms") == "1500"
    stand_in.published_ids()
    stand_in.succeed(job_id)
    assert redis.hget(f"{prefix}lengths", ".flac") == learnt.get(".flac")


def test_a_long_name_keeps_what_tells_the_output(web: FlaskClient, stand_in: StandIn) -> None:
    job_id = submit(web, filename="ä" * 190 + ".mp3").json["id"]
    stand_in.published_ids()
    stand_in.succeed(job_id)
    name = chain(web, job_id, "vocals").json["source"]["filename"]
    assert (len(name), name.endswith("ä - vocals.flac")) == (200, True)


def test_what_cannot_be_a_source_is_refused(web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]) -> None:
    unknown = chain(web, ended["id"], "drums")
    assert (unknown.status_code, unknown.json["code"]) == (422, "request_invalid")
    assert unknown.json["errors"][0]["field"] == "source.output"
    assert unknown.json["errors"][0]["allowed"] == ["vocals", "accompaniment", "karaoke"]
    assert chain(web, ended["id"], "report").json["code"] == "request_invalid"
    missing = chain(web, "0" * 32, "vocals")
    assert (missing.status_code, missing.json["code"]) == (404, "job_not_found")
    running = submit(web, content=b"b\0song").json["id"]
    refused = chain(web, running, "vocals")
    assert (refused.status_code, refused.json["code"]) == (409, "job_state_conflict")
    for source in (
        {"job_id": ended["id"]},
        {"output": "vocals"},
        {"job_id": ended["id"], "output": "vocals", "url": "https://music.example/a.ogg"},
        {"job_id": "5", "output": "vocals"},
    ):
        assert web.post("/v1/jobs", json={"source": source}).json["code"] == "request_invalid"
    stand_in.storage.delete([o.key for o in stand_in.store.read_job(ended["id"]).outputs])
    gone = chain(web, ended["id"], "vocals")
    assert (gone.status_code, gone.json["code"]) == (410, "source_missing")


def test_a_job_of_another_owner_is_not_there(settings: Settings, stand_in: StandIn) -> None:
    keys = ApiKeys(settings)
    anna, ben = (keys.create(owner=owner, scopes=["submit", "read"])[1] for owner in ("anna", "ben"))
    web = create_app(settings.model_copy(update={"api_keys_required": True})).test_client()
    web.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {anna}"
    job_id = submit(web).json["id"]
    stand_in.published_ids()
    stand_in.succeed(job_id)
    web.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ben}"
    refused = chain(web, job_id, "vocals")
    assert (refused.status_code, refused.json["code"]) == (404, "job_not_found")
    item = {"source": {"job_id": job_id, "output": "vocals"}}
    batch = web.post("/v1/batches", json={"items": [item]}).json
    catalog = Catalog(settings, web, stand_in)
    catalog.feed()
    (found,) = catalog.items(batch["id"])
    assert (found["state"], found["error"]["code"]) == ("failed", "source_missing")
    web.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {anna}"
    assert chain(web, job_id, "vocals").status_code == 202


def test_the_source_is_neither_deleted_nor_expires_until_the_job_has_ended(
    web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]
) -> None:
    reader = chain(web, ended["id"], "vocals").json["id"]
    refused = web.delete(f"/v1/jobs/{ended['id']}")
    assert (refused.status_code, refused.json["code"]) == (409, "job_state_conflict")
    redis, prefix = stand_in.store._redis, stand_in.settings.redis_prefix
    redis.hset(f"{prefix}job:{ended['id']}", "expires_ms", 1)
    collector = Collector(stand_in.settings, stand_in.storage)
    collector.collect(now=True)
    assert web.get(ended["stems"][0]["url"]).status_code == 200
    stand_in.published_ids()
    stand_in.succeed(reader)
    collector.collect(now=True)
    assert web.get(f"/v1/jobs/{ended['id']}").status_code == 404
    job = web.get(f"/v1/jobs/{reader}").json
    assert [web.get(stem["url"]).status_code for stem in job["stems"]] == [200, 200]
    lost = web.get(job["source"]["url"])
    assert (lost.status_code, lost.json["code"]) == (410, "output_gone")
    assert web.delete(f"/v1/jobs/{reader}").status_code == 204
    assert stand_in.keys() == ["instance"]


def test_deleting_the_new_job_leaves_the_source(web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]) -> None:
    reader = chain(web, ended["id"], "vocals").json["id"]
    stand_in.published_ids()
    stand_in.succeed(reader)
    assert web.delete(f"/v1/jobs/{reader}").status_code == 204
    assert web.get(ended["stems"][0]["url"]).status_code == 200
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 204


def test_a_retry_after_the_source_was_deleted_is_refused(web: FlaskClient, ended: dict[str, Any]) -> None:
    reader = chain(web, ended["id"], "vocals").json["id"]
    web.post(f"/v1/jobs/{reader}/cancel")
    assert web.post(f"/v1/jobs/{reader}/retry").status_code == 202
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 409
    web.post(f"/v1/jobs/{reader}/cancel")
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 204
    gone = web.post(f"/v1/jobs/{reader}/retry")
    assert (gone.status_code, gone.json["code"]) == (410, "source_missing")


def test_a_repeated_request_makes_one_job(web: FlaskClient, ended: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = (chain(web, ended["id"], "vocals", key) for _ in range(2))
    assert first.json["id"] == second.json["id"]


def test_the_stems_of_a_chained_job_are_mixed(web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]) -> None:
    reader = chain(web, ended["id"], "vocals").json["id"]
    stand_in.published_ids()
    stand_in.succeed(reader)
    mixed = web.post(f"/v1/jobs/{reader}/mixes", json={"mixes": ["minus:vocals"]}).json
    assert (mixed["source"]["job_id"], mixed["source"]["output"]) == (reader, None)


def test_items_of_a_batch_separate_outputs(catalog: Catalog) -> None:
    web = catalog.web
    first = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])
    catalog.work_off(first["id"])
    job_id = catalog.items(first["id"])[0]["job_id"]
    waiting = submit(web).json["id"]
    rows = ("Lead", job_id, "vocals"), ("", job_id, "drums"), ("Soon", waiting, "vocals"), ("None", "0" * 32, "vocals")
    text = "\n".join(map(",".join, (("track", "job_id", "output"), *rows)))
    batch = catalog.submit(manifest=catalog.put_manifest(text, "list.csv"))
    catalog.feed()
    lead, drums, soon, none = catalog.items(batch["id"])
    source = web.get(f"/v1/jobs/{lead['job_id']}").json["source"]
    assert (source["job_id"], source["output"], source["filename"]) == (job_id, "vocals", "a - vocals.flac")
    assert [(i["state"], i["error"]["code"]) for i in (drums, soon, none)] == [
        ("failed", "request_invalid"),
        ("failed", "source_missing"),
        ("failed", "source_missing"),
    ]
    assert drums["track"] == f"{job_id} - drums"
    assert web.delete(f"/v1/batches/{first['id']}").status_code == 409
    catalog.work_off(batch["id"])
    assert catalog.items(batch["id"])[0]["state"] == "succeeded"
    assert web.delete(f"/v1/batches/{first['id']}").status_code == 204


def test_an_output_that_cannot_be_asked_for_holds_up_no_other_item(catalog: Catalog) -> None:
    settings = catalog.settings
    first = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])
    catalog.work_off(first["id"])
    job_id = catalog.items(first["id"])[0]["job_id"]
    key = next(o.key for o in catalog.feeder._items.read_job(job_id).outputs if o.name == "vocals")

    def unreadable(request: BaseHTTPRequestHandler) -> tuple[int, str] | None:
        return (403, "AccessDenied") if key in request.path else None

    rows = [{"job_id": job_id, "output": "vocals"}, {"job_id": job_id, "output": "accompaniment"}]
    batch = catalog.submit(items=[{"source": source} for source in rows])
    port = find_free()
    with picky_storage(str(settings.s3_endpoint_url), unreadable, port) as seen:
        picky = settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{port}"})
        catalog.storage = ObjectStorage(picky)
        catalog.feeder = catalog.new_feeder()
        catalog.feed()
    assert any("refused 403" in request for request in seen)
    vocals, accompaniment = catalog.items(batch["id"])
    assert [vocals["state"], accompaniment["state"]] == ["queued", "queued"], "the worker tries again, and says why"
    source = catalog.stand_in.store.read_job(vocals["job_id"]).request.source
    assert (source.key, source.size_bytes > 0, bool(source.etag)) == (key, True, True)
