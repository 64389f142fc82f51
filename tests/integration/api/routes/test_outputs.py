"""Stems, pictures and the rest over HTTP, streamed from real storage."""

from __future__ import annotations

import io
import zipfile

import httpx2
import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.jobs.store import JobStore
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit

STEM = bytes(range(256)) * 40


@pytest.fixture
def path(web: FlaskClient, stand_in: StandIn) -> str:
    """The path of a job that is done."""
    path: str = submit(web, b"the\0mixture", "song.mp3").headers["Location"]
    stand_in.succeed(path.rsplit("/", 1)[1], STEM)
    return path


def test_a_download_is_called_by_the_song_also_without_an_ending(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web, b"the\0mixture", "Mr. Brightside").headers["Location"]
    stand_in.succeed(path.rsplit("/", 1)[1], STEM)
    told = web.get(f"{path}/stems/vocals").headers["Content-Disposition"]
    assert told == 'attachment; filename="Mr. Brightside - vocals.flac"'


def test_each_output_is_sent_with_its_type_and_name(web: FlaskClient, path: str) -> None:
    stem = web.get(f"{path}/stems/vocals")
    assert (stem.status_code, stem.data, stem.mimetype) == (200, STEM, "audio/flac")
    assert stem.headers["Content-Disposition"] == 'attachment; filename="song - vocals.flac"'
    assert stem.headers["Accept-Ranges"] == "bytes"
    assert web.get(f"{path}/pictures/spectrogram").mimetype == "image/png"
    assert web.get(f"{path}/waveforms/vocals").json == []
    assert web.get(f"{path}/report").json == {"a": 1}
    mixture = web.get(f"{path}/source")
    assert (mixture.data, mixture.mimetype) == (b"the\0mixture", "audio/mpeg")


def test_a_job_tells_tempo_and_key_and_where_its_beats_are(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web, b"the\0mixture", "song.mp3").headers["Location"]
    music = {"tempo_bpm": 120.0, "tempo_confidence": 0.9, "beats_count": 2, "key": None, "key_confidence": None}
    stand_in.succeed(path.rsplit("/", 1)[1], STEM, music=music)
    job = web.get(path).json
    assert job["music"] == music
    assert "music" not in job["report"]
    assert (job["beats"]["url"], job["beats"]["filename"]) == (f"{path}/beats", "beats.json")
    assert "holds" not in job["beats"]
    # Earlier versions know the beats as a waveform; this one does not tell them twice.
    assert [w["name"] for w in job["waveforms"]] == ["vocals"]
    beats = web.get(job["beats"]["url"])
    assert (beats.mimetype, beats.json["beats"]) == ("application/json", [0.25, 0.75])
    with zipfile.ZipFile(io.BytesIO(web.get(f"{path}/archive").data)) as archive:
        assert "beats.json" in archive.namelist()


def test_a_job_without_a_sure_tempo_has_no_beats(web: FlaskClient, path: str) -> None:
    job = web.get(path).json
    assert (job["music"], job["beats"]) == (None, None)
    assert web.get(f"{path}/beats").status_code == 404


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=10200-", 10200, 10240), ("bytes=-5", 10235, 10240)],
)
def test_a_range_is_sent_alone(web: FlaskClient, path: str, wanted: str, start: int, stop: int) -> None:
    answer = web.get(f"{path}/stems/vocals", headers={"Range": wanted})
    assert (answer.status_code, answer.data) == (206, STEM[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(STEM)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=1-2", "nonsense"])
def test_a_range_that_is_not_understood_is_answered_by_the_whole(web: FlaskClient, path: str, wanted: str) -> None:
    assert web.get(f"{path}/stems/vocals", headers={"Range": wanted}).data == STEM


def test_a_range_beyond_the_end_is_416(web: FlaskClient, path: str) -> None:
    answer = web.get(f"{path}/stems/vocals", headers={"Range": "bytes=20000-"})
    assert (answer.status_code, answer.json["code"]) == (416, "range_unsatisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(STEM)}"


def test_ranges_of_another_version_are_answered_by_the_whole(web: FlaskClient, path: str) -> None:
    tag = web.get(f"{path}/stems/vocals").headers["ETag"]
    headers = {"Range": "bytes=0-9", "If-Range": tag}
    assert web.get(f"{path}/stems/vocals", headers=headers).status_code == 206
    headers["If-Range"] = '"other"'
    assert web.get(f"{path}/stems/vocals", headers=headers).status_code == 200


def test_what_a_client_has_already_is_not_sent_again(web: FlaskClient, path: str) -> None:
    tag = web.get(f"{path}/stems/vocals").headers["ETag"]
    answer = web.get(f"{path}/stems/vocals", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.data) == (304, b"")


def test_head_tells_the_size_and_sends_nothing(web: FlaskClient, path: str) -> None:
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = web.head(f"{path}/stems/vocals", headers=headers)
        assert (answer.status_code, answer.content_length, answer.data) == (200, len(STEM), b"")
    answer = web.head(f"{path}/archive")
    whole = web.get(f"{path}/archive")
    assert whole.content_length == len(whole.data)
    assert (answer.status_code, answer.content_length, answer.data) == (200, len(whole.data), b"")


@pytest.mark.usefixtures("stand_in")
def test_outputs_of_a_job_under_way_are_202_with_the_job(web: FlaskClient) -> None:
    path = submit(web, stems="vocals").headers["Location"]
    answer = web.get(f"{path}/stems/vocals")
    assert (answer.status_code, answer.json["state"]) == (202, "queued")
    assert answer.headers["Retry-After"]
    assert web.get(f"{path}/stems/accompaniment").status_code == 404


def test_outputs_that_will_never_be_are_404(web: FlaskClient, stand_in: StandIn, path: str) -> None:
    for wanted in ("stems/drums", "pictures/vocals", "waveforms/x"):
        answer = web.get(f"{path}/{wanted}")
        assert (answer.status_code, answer.json["code"]) == (404, "output_not_found")
    failed = submit(web).headers["Location"]
    stand_in.fail(failed.rsplit("/", 1)[1])
    assert web.get(f"{failed}/stems/vocals").status_code == 404


def test_outputs_that_the_storage_lost_are_410(web: FlaskClient, stand_in: StandIn, path: str) -> None:
    stand_in.storage.delete_below("jobs/")
    answer = web.get(f"{path}/stems/vocals")
    assert (answer.status_code, answer.json["code"]) == (410, "output_gone")


@pytest.mark.usefixtures("stand_in")
def test_a_public_storage_is_linked_to_instead(settings: Settings, path: str) -> None:
    public = settings.model_copy(update={"s3_public_endpoint_url": settings.s3_endpoint_url})
    answer = create_app(public).test_client().get(f"{path}/stems/vocals")
    assert answer.status_code == 302
    followed = httpx2.get(answer.headers["Location"], headers={"Range": "bytes=0-9"})
    assert (followed.status_code, followed.content) == (206, STEM[:10])
    assert "vocals.flac" in followed.headers["Content-Disposition"]


@pytest.mark.usefixtures("stand_in")
def test_a_file_named_like_a_page_is_not_sent_as_one(web: FlaskClient) -> None:
    path = submit(web, b"\0<script>alert(1)</script>", "evil.html").headers["Location"]
    answer = web.get(f"{path}/source")
    assert (answer.mimetype, answer.headers["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_reading_a_job_is_one_call_to_redis(web: FlaskClient, stand_in: StandIn, path: str) -> None:
    web.get(path)
    client = JobStore(stand_in.settings)._redis
    before = client.info("commandstats")
    web.get(path)
    after = client.info("commandstats")
    calls = {
        name: stats["calls"] - before.get(name, {"calls": 0})["calls"]
        for name, stats in after.items()
        if name in {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_get", "cmdstat_hgetall"}
    }
    assert calls["cmdstat_evalsha"] == 1
    assert calls.get("cmdstat_eval", 0) == 0


def test_an_archive_holds_stems_picture_and_report(web: FlaskClient, stand_in: StandIn) -> None:
    path = submit(web, filename="Ärger.mp3").headers["Location"]
    waiting = web.get(f"{path}/archive")
    assert (waiting.status_code, "Retry-After" in waiting.headers) == (202, True)
    stand_in.queue.dispatch()
    stand_in.succeed(path.rsplit("/", 1)[1], b"0123456789" * 200_000)
    answer = web.get(f"{path}/archive")
    assert (answer.status_code, answer.mimetype) == (200, "application/zip")
    assert "filename*=UTF-8''%C3%84rger%20-%20stems.zip" in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        names = {"vocals.flac", "accompaniment.flac", "spectrogram.png", "report.json"}
        assert set(archive.namelist()) == names
        assert archive.read("vocals.flac") == b"0123456789" * 200_000
    assert web.get(f"{path}/archive", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert web.get(path).json["links"]["archive"] == f"{path}/archive"


def test_no_archive_of_a_failed_job_or_of_lost_stems(web: FlaskClient, stand_in: StandIn) -> None:
    failed, lost = (submit(web).headers["Location"] for _ in range(2))
    stand_in.queue.dispatch()
    stand_in.fail(failed.rsplit("/", 1)[1])
    assert web.get(f"{failed}/archive").json["code"] == "output_not_found"
    job = stand_in.succeed(lost.rsplit("/", 1)[1])
    stand_in.storage.delete([job.outputs[0].key])
    gone = web.get(f"{lost}/archive")
    assert (gone.status_code, gone.json["code"]) == (410, "output_gone")
