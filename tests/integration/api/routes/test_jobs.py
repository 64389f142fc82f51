"""Jobs over HTTP from their submission to their end and deletion, on real servers."""

from __future__ import annotations

from dataclasses import replace

from flask.testing import FlaskClient

from shared.jobs.store import JobStore
from shared.maintenance.job_rebuild import rebuild_jobs
from tests.fixtures.api import StandIn, submit


def test_a_job_is_followed_to_its_end(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web).headers["Location"]
    job_id = path.rsplit("/", 1)[1]
    assert web.get(path).json["queue_position"] == 1
    claim = stand_in.claim(job_id)
    stand_in.store.claims.renew(claim, stage="separate", progress=0.4)
    running = web.get(path)
    assert (running.json["state"], running.json["stage"], running.json["progress"]) == ("running", "separate", 0.4)
    assert "Retry-After" in running.headers
    stand_in.store.claims.hand_back(claim)
    stand_in.queue.dispatch()
    stand_in.succeed(job_id)
    done = web.get(path)
    assert "Retry-After" not in done.headers
    job = done.json
    assert (job["state"], job["progress"]) == ("succeeded", 1.0)
    assert [s["name"] for s in job["stems"]] == ["vocals", "accompaniment"]
    assert job["stems"][0]["url"] == f"{path}/stems/vocals"
    assert (job["stems"][0]["peak_db"], job["stems"][0]["loudness_lufs"]) == (-3.0, -14.2)
    assert job["source"]["codec"] == "mp3"
    assert job["report"]["url"] == f"{path}/report"
    assert job["times"]["finished_at"].endswith("Z")
    assert job["expires_at"] > job["times"]["finished_at"]


def test_a_poll_with_the_etag_is_answered_by_304_until_something_changes(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web).headers["Location"]
    tag = web.get(path).headers["ETag"]
    same = web.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.data) == (304, b"")
    assert same.headers["Retry-After"]
    stand_in.claim(path.rsplit("/", 1)[1])
    assert web.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_failed_job_is_read_with_200_and_tells_why(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web).headers["Location"]
    stand_in.fail(path.rsplit("/", 1)[1])
    answer = web.get(path)
    assert answer.status_code == 200
    assert (answer.json["state"], answer.json["error"]["code"]) == ("failed", "audio_unreadable")
    again = web.post(f"{path}/retry")
    assert (again.status_code, again.json["state"]) == (202, "queued")


def test_cancel_and_delete_are_refused_where_the_state_forbids_them(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web).headers["Location"]
    assert web.delete(path).json["code"] == "job_state_conflict"
    assert web.post(f"{path}/retry").status_code == 409
    assert web.post(f"{path}/cancel").json["state"] == "canceled"
    assert web.post(f"{path}/cancel").status_code == 409
    assert web.delete(path).status_code == 204
    gone = web.get(path)
    assert (gone.status_code, gone.json["code"]) == (404, "job_not_found")
    assert stand_in.keys() == []


def test_delete_removes_stems_and_mixture(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web).headers["Location"]
    stand_in.succeed(path.rsplit("/", 1)[1])
    assert len(stand_in.keys()) == 7
    assert web.delete(path).status_code == 204
    assert stand_in.keys() == []
    assert stand_in.store.deletions_pending() == []


def test_somebody_elses_job_is_not_found(web: FlaskClient, stand_in: StandIn) -> None:
    mine = stand_in.store.read_job(submit(web).json["id"])
    theirs = JobStore(stand_in.settings).submit(replace(mine.request, owner="somebody"))
    for answer in (web.get(f"/v1/jobs/{theirs.id}"), web.post(f"/v1/jobs/{theirs.id}/cancel")):
        assert (answer.status_code, answer.json["code"]) == (404, "job_not_found")
    assert [j["id"] for j in web.get("/v1/jobs").json["jobs"]] == [mine.id]


def test_no_tag_and_no_memory_outlives_a_lost_record(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web).headers["Location"]
    tags = [web.get(path).headers["ETag"], web.get(path).headers["ETag"]]
    stand_in.queue.dispatch()
    tags.append(web.get(path).headers["ETag"])
    stand_in.succeed(path.rsplit("/", 1)[1])
    ended = web.get(path)
    stand_in.store._redis.flushdb()
    assert web.get(path).status_code == 404
    assert [restored for _, restored in rebuild_jobs(stand_in.store, stand_in.storage)] == [True]
    for tag in tags:
        answer = web.get(path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.json["state"]) == (200, "succeeded")
    assert answer.json["stems"] == ended.json["stems"]
