"""Mixes of the stems of a job that has ended, with real servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.maintenance.garbage_collector import Collector
from tests.fixtures.api import ENGINE, StandIn, submit
from tests.fixtures.stand_ins.mixes import FOUR, KARAOKE, mix


@pytest.fixture
def ended(web: FlaskClient, stand_in: StandIn) -> dict[str, Any]:
    """A job that has two stems."""
    job_id = submit(web).json["id"]
    stand_in.published_ids()
    stand_in.succeed(job_id)
    job: dict[str, Any] = web.get(f"/v1/jobs/{job_id}").json
    return job


def test_stems_of_an_ended_job_are_mixed_by_a_job_of_its_own(
    web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]
) -> None:
    answer = mix(web, ended["id"], KARAOKE, "quiet=vocals:-6", "only:vocals", format="mp3", metadata={"for": "Mia"})
    assert answer.status_code == 202, answer.text
    job = answer.json
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["format"], job["stems_wanted"], job["metadata"]) == ("queued", "mp3", [], {"for": "Mia"})
    assert (job["source"]["job_id"], job["source"]["filename"]) == (ended["id"], ended["source"]["filename"])
    assert [m["gains_db"] for m in job["mixes_wanted"]] == [
        {"vocals": None, "accompaniment": 0.0},
        {"vocals": -6.0, "accompaniment": 0.0},
        {"vocals": 0.0},
    ], "the rest of the song is named, so that the worker need not know what it was"
    source = stand_in.store.read_job(job["id"]).request.source
    assert {o.name: o.sha256 for o in source.outputs} == {s["name"]: s["sha256"] for s in ended["stems"]}
    stand_in.published_ids()
    stand_in.succeed(job["id"])
    assert [m["name"] for m in web.get(f"/v1/jobs/{job['id']}").json["mixes"]] == ["karaoke", "quiet", "only-vocals"]


def test_a_repeated_request_makes_one_job(web: FlaskClient, ended: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = (mix(web, ended["id"], KARAOKE, headers=key) for _ in range(2))
    assert first.json["id"] == second.json["id"]
    assert mix(web, ended["id"], "only:vocals", headers=key).status_code == 422


def test_what_is_read_is_neither_deleted_nor_expires(
    web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]
) -> None:
    reader = mix(web, ended["id"], KARAOKE).json["id"]
    refused = web.delete(f"/v1/jobs/{ended['id']}")
    assert (refused.status_code, refused.json["code"]) == (409, "job_state_conflict")
    redis, prefix = stand_in.store._redis, stand_in.settings.redis_prefix
    redis.hset(f"{prefix}job:{ended['id']}", "expires_ms", 1)
    redis.zadd(f"{prefix}settled", {ended["id"]: 1})
    collector = Collector(stand_in.settings, stand_in.storage)
    collector.collect(now=True)
    assert web.get(ended["stems"][0]["url"]).status_code == 200
    stand_in.published_ids()
    stand_in.succeed(reader)
    collector.collect(now=True)
    assert web.get(f"/v1/jobs/{ended['id']}").status_code == 404
    assert web.get(f"/v1/jobs/{reader}/source").data == b"a\0song", "the mixture is kept for the job that is left"
    assert web.delete(f"/v1/jobs/{reader}").status_code == 204
    assert stand_in.keys() == ["instance"]


@pytest.mark.parametrize("left", ["ended", "deleted"])
def test_a_reader_that_an_older_version_ended_lets_go(
    web: FlaskClient, stand_in: StandIn, ended: dict[str, Any], left: str
) -> None:
    first, second = (mix(web, ended["id"], m).json["id"] for m in (KARAOKE, "only:vocals"))
    redis, readers = stand_in.store._redis, f"{stand_in.settings.redis_prefix}job:{ended['id']}:readers"
    web.post(f"/v1/jobs/{first}/cancel")
    if left == "deleted":
        web.delete(f"/v1/jobs/{first}")
    # An older version knows no readers and leaves the set as it was.
    redis.sadd(readers, first)
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 409, "the other still reads"
    web.post(f"/v1/jobs/{second}/cancel")
    redis.sadd(readers, second)
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 204
    assert not redis.exists(readers)


def test_a_canceled_reader_lets_go_and_its_retry_reads_again(web: FlaskClient, ended: dict[str, Any]) -> None:
    first, second = (mix(web, ended["id"], m).json["id"] for m in (KARAOKE, "only:vocals"))
    web.post(f"/v1/jobs/{first}/cancel")
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 409
    assert web.post(f"/v1/jobs/{first}/retry").status_code == 202
    web.post(f"/v1/jobs/{second}/cancel")
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 409
    web.post(f"/v1/jobs/{first}/cancel")
    assert web.delete(f"/v1/jobs/{ended['id']}").status_code == 204
    gone = web.post(f"/v1/jobs/{first}/retry")
    assert (gone.status_code, gone.json["code"]) == (410, "source_missing")
    assert web.get(f"/v1/jobs/{first}").json["state"] == "canceled"


def test_what_was_not_kept_cannot_be_mixed(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.announce(FOUR, ENGINE)
    without = submit(web, mixes="minus:vocals", stems="none").json["id"]
    queued = submit(web).json["id"]
    stand_in.published_ids()
    stand_in.succeed(without)
    refused = mix(web, without, KARAOKE)
    assert (refused.status_code, refused.json["code"]) == (409, "stems_not_kept")
    refused = mix(web, queued, KARAOKE)
    assert (refused.status_code, refused.json["code"]) == (409, "job_state_conflict")
    assert mix(web, "0" * 32, KARAOKE).json["code"] == "job_not_found"
    stand_in.succeed(queued)
    unknown = mix(web, queued, "minus:drums")
    assert (unknown.status_code, unknown.json["code"]) == (422, "request_invalid")
    assert unknown.json["errors"][0]["allowed"] == ["vocals", "accompaniment"]
    assert mix(web, queued).json["code"] == "request_invalid"
    assert mix(web, queued, KARAOKE, "karaoke=only:vocals").json["code"] == "request_invalid"
    assert mix(web, queued, "minus:vocals+accompaniment").json["code"] == "request_invalid"
    assert mix(web, queued, KARAOKE, format="mp3", format_options={"bit_depth": 16}).json["code"] == "request_invalid"


@pytest.mark.parametrize("options", [{"bit_depth": 99}, {"bitrate_kbps": 256}])
def test_options_are_checked_against_the_format_of_the_stems(
    web: FlaskClient, ended: dict[str, Any], options: dict[str, int]
) -> None:
    refused = mix(web, ended["id"], KARAOKE, format_options=options)
    assert (refused.status_code, refused.json["code"]) == (422, "request_invalid")
    assert [error["field"] for error in refused.json["errors"]] == ["format_options"]
    kept = mix(web, ended["id"], KARAOKE, format_options={"bit_depth": 16}).json
    assert (kept["format"], kept["format_options"]) == ("flac", {"bit_depth": 16})


def test_a_stem_that_is_gone_from_storage_cannot_be_mixed(
    web: FlaskClient, stand_in: StandIn, ended: dict[str, Any]
) -> None:
    stems = {o.name: o.key for o in stand_in.store.read_job(ended["id"]).outputs if o.kind == "stem"}
    stand_in.storage.delete([stems["vocals"]])
    gone = mix(web, ended["id"], "only:vocals")
    assert (gone.status_code, gone.json["code"]) == (410, "source_missing")
    assert mix(web, ended["id"], "minus:vocals").status_code == 202, "it needs the accompaniment alone"


def test_stems_that_overlap_have_no_rest(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.announce(FOUR, ENGINE)
    job_id = submit(web, engine="four", stems="vocals,drums,bass,other,accompaniment").json["id"]
    stand_in.queue.dispatch()
    stand_in.succeed(job_id)
    redis, key = stand_in.store._redis, f"{stand_in.settings.redis_prefix}job:{job_id}"
    outputs = json.loads(redis.hget(key, "outputs"))
    # The stand-in keeps two stems; this job has kept all.
    like = next(output for output in outputs if output["name"] == "accompaniment")
    redis.hset(key, "outputs", json.dumps([*outputs, *({**like, "name": name} for name in FOUR["stems"][1:])]))
    overlap = {"name": "soft", "gains_db": {"drums": -3, "accompaniment": -3}}
    refused = mix(web, job_id, overlap)
    assert (refused.status_code, refused.json["code"]) == (422, "request_invalid")
    (error,) = refused.json["errors"]
    assert error["field"] == "mixes.0.gains_db"
    assert "overlap" in error["message"]
    assert "(vocals, drums, bass, other) or (vocals, accompaniment)" in error["message"]
    assert mix(web, job_id, {**overlap, "rest_db": None}).status_code == 202
    assert [*mix(web, job_id, "minus:drums").json["mixes_wanted"][0]["gains_db"]] == FOUR["stems"]


def keep_stems(stand_in: StandIn, job_id: str, *names: str) -> None:
    """Let an ended job have these stems: the stand-in keeps vocals and accompaniment."""
    redis, key = stand_in.store._redis, f"{stand_in.settings.redis_prefix}job:{job_id}"
    outputs = json.loads(redis.hget(key, "outputs"))
    like = next(output for output in outputs if output["kind"] == "stem")
    others = [output for output in outputs if output["kind"] != "stem"]
    redis.hset(key, "outputs", json.dumps([*({**like, "name": name} for name in names), *others]))
    redis.hincrby(key, "version", 1)


def test_a_stem_file_is_made_of_the_stems_of_an_ended_job(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.announce(FOUR, ENGINE)
    job_id, two = submit(web, engine="four").json["id"], submit(web, engine="repetition").json["id"]
    stand_in.queue.dispatch()
    for ended in (job_id, two):
        stand_in.succeed(ended)
    keep_stems(stand_in, job_id, *FOUR["stems"], "accompaniment")

    def ask(ended: str, **more: Any) -> TestResponse:
        return web.post(f"/v1/jobs/{ended}/mixes", json={"format": "stem.mp4", **more})

    answer = ask(job_id, format_options={"bit_depth": 24})
    assert answer.status_code == 202, answer.text
    job = stand_in.store.read_job(answer.json["id"])
    assert (job.request.format, job.request.format_options, job.request.stems) == ("stem.mp4", {"bit_depth": 24}, ())
    assert [output.name for output in job.request.source.outputs] == FOUR["stems"], "not the accompaniment"
    names = [mix.name for mix in job.request.mixes]
    assert names == ["stems", "drums", "bass", "other", "vocals"]
    assert [mix["gains_db"] for mix in answer.json["mixes_wanted"]] == [
        dict.fromkeys(FOUR["stems"], 0.0),
        *({stem: 0.0 if stem == name else None for stem in FOUR["stems"]} for name in names[1:]),
    ]
    refused = ask(job_id, mixes=["minus:vocals"])
    assert (refused.status_code, refused.json["code"]) == (422, "request_invalid")
    refused = ask(two)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "format")
    assert "no drums" in refused.json["detail"]
    keep_stems(stand_in, job_id, "vocals", "drums", "bass")
    refused = ask(job_id)
    assert (refused.status_code, refused.json["code"]) == (409, "stems_not_kept")
    # Without a worker that has the engine: a job that did not choose its stems has all of them.
    stand_in.announce(ENGINE)
    assert ask(job_id).status_code == 202
    keep_stems(stand_in, job_id, "vocals", "accompaniment")
    assert ask(job_id).json["code"] == "stems_not_kept"


def test_stems_of_four_are_the_song_only_together(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.announce(FOUR, ENGINE)
    job_id = submit(web, engine="four", stems="vocals,accompaniment").json["id"]
    stand_in.queue.dispatch()
    stand_in.succeed(job_id)
    # The stand-in has kept vocals and accompaniment, which together are the song.
    assert mix(web, job_id, KARAOKE).json["mixes_wanted"][0]["gains_db"] == {"vocals": None, "accompaniment": 0.0}
    refused = mix(web, job_id, "minus:drums")
    assert (refused.status_code, refused.json["code"]) == (409, "stems_not_kept")
