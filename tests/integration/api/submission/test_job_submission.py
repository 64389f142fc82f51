"""Submitting jobs over HTTP, and refused submissions, with real servers."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
from flask.testing import FlaskClient
from werkzeug.http import parse_options_header

from api.app import create_app
from shared.settings import Settings
from tests.fixtures.api import ENGINE, StandIn, submit


def test_a_submitted_song_is_accepted_stored_and_pinned(web: FlaskClient, stand_in: StandIn) -> None:
    answer = submit(web, b"bytes of a\0song", "My Song.mp3", metadata='{"album": 7}')
    assert answer.status_code == 202
    job = answer.json
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert (job["state"], job["engine"], job["preset"], job["format"]) == ("queued", "repetition", "original", "flac")
    assert job["source"]["filename"] == "My Song.mp3"
    assert job["source"]["sha256"] == hashlib.sha256(b"bytes of a\0song").hexdigest()
    assert job["metadata"] == {"album": 7}
    source = stand_in.store.read_job(job["id"]).request.source
    assert stand_in.storage.open(source.key, etag=source.etag).body.read() == b"bytes of a\0song"
    assert "My Song" not in source.key


def test_fields_of_the_form_reach_the_job_in_whatever_order(web: FlaskClient, stand_in: StandIn) -> None:
    fields = {
        "preset": "fast",
        "format": "mp3",
        "bitrate_kbps": "320",
        "parameters": '{"neighbours": 30, "margin": 1.5, "window": "hann"}',
        "excerpt_start_seconds": "90",
        "excerpt_duration_seconds": "20",
        "audio_stream": "2",
        "stems": "vocals",
        "priority": "bulk",
        "engine": "",
    }
    job_id = submit(web, **fields).json["id"]
    request = stand_in.store.read_job(job_id).request
    assert (request.preset, request.format, dict(request.format_options)) == ("fast", "mp3", {"bitrate_kbps": 320})
    assert dict(request.parameters) == {"neighbours": 30, "margin": 1.5, "window": "hann"}
    assert isinstance(request.parameters["neighbours"], int)
    assert (request.excerpt_start_seconds, request.excerpt_duration_seconds) == (90.0, 20.0)
    assert request.audio_stream == 2
    assert (request.stems, request.priority) == (("vocals",), "bulk")


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"engine": "nope"}, "engine", ["repetition"]),
        ({"preset": "nope"}, "preset", ["original", "fast"]),
        ({"stems": "drums"}, "stems", ["vocals", "accompaniment"]),
        ({"parameters": '{"nope": 1}'}, "parameters.nope", ["neighbours", "margin", "window"]),
        ({"parameters": '{"neighbours": 101}'}, "parameters.neighbours", None),
        ({"parameters": '{"neighbours": 1.5}'}, "parameters.neighbours", None),
        ({"parameters": '{"window": "kaiser"}'}, "parameters.window", None),
        ({"parameters": "no json"}, "parameters", None),
        ({"format": "aiff"}, "format", ["wav", "flac", "mp3", "ogg", "opus", "m4a", "stem.mp4"]),
        ({"format": "flac", "bit_depth": "32"}, "", None),
        ({"format": "stem.mp4"}, "format", None),
        ({"format": "stem.mp4", "stems": "vocals"}, "", None),
        ({"audio_stream": "0"}, "audio_stream", None),
        ({"audio_stream": "first"}, "audio_stream", None),
        ({"excerpt_start_seconds": "-1"}, "excerpt.start_seconds", None),
        ({"excerpt_start_seconds": "nan"}, "excerpt.start_seconds", None),
        ({"excerpt_duration_seconds": "0"}, "excerpt.duration_seconds", None),
        ({"enigne": "repetition"}, "enigne", None),
        ({"metadata": json.dumps({"a": "x" * 20_000})}, "metadata", None),
    ],
)
def test_a_wrong_field_is_named_and_the_upload_taken_back(
    web: FlaskClient, stand_in: StandIn, fields: dict[str, str], field: str, allowed: list[str] | None
) -> None:
    answer = submit(web, **fields)
    assert (answer.status_code, answer.json["code"]) == (422, "request_invalid")
    assert [e["field"] for e in answer.json["errors"]] == [field]
    assert answer.json["errors"][0].get("allowed") == allowed
    assert stand_in.keys() == []


def test_an_empty_file_is_refused(web: FlaskClient, stand_in: StandIn) -> None:
    answer = submit(web, b"")
    assert (answer.status_code, answer.json["code"]) == (415, "audio_empty")
    assert stand_in.keys() == []


def test_words_are_no_song(web: FlaskClient, stand_in: StandIn) -> None:
    words = b"#EXTM3U\nfile:///etc/passwd\n" + b"and so on\n" * 100_000
    for answer in (submit(web, words), web.post("/v1/uploads", data=words, content_type="audio/mpeg")):
        assert (answer.status_code, answer.json["code"]) == (415, "not_audio")
        assert answer.json["detail"].startswith("The file is a playlist; send the song itself, as MP3, WAV, FLAC")
    assert stand_in.keys() == []


def test_plain_words_are_uploaded_as_a_manifest_and_never_as_a_song(web: FlaskClient) -> None:
    words = b'{"track": "Intro", "source": {"s3": {"bucket": "b", "key": "intro.wav"}}}\n'
    names = ("tracks.JSONL", "tracks.csv", "tracks", "lyrics.mp3")
    answers = [web.post(f"/v1/uploads?filename={name}", data=words) for name in names]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 415]
    for answer in (answers[-1], submit(web, words)):
        assert (answer.status_code, answer.json["code"]) == (415, "not_audio")


def test_a_song_may_be_sent_after_a_picture_under_the_same_key(web: FlaskClient) -> None:
    key = {"Idempotency-Key": "once"}
    bodies = (b"\x89PNG\r\n\x1a\n", b"s\0ng", b"s\0ng")
    statuses = [web.post("/v1/uploads", data=body, headers=key).status_code for body in bodies]
    assert statuses == [415, 201, 201]


def test_a_form_is_no_upload(web: FlaskClient, stand_in: StandIn) -> None:
    answer = web.post("/v1/uploads", data={"file": (io.BytesIO(b"s\0ng"), "a.mp3")})
    assert (answer.status_code, answer.json["code"]) == (415, "media_type_unsupported")
    assert stand_in.keys() == []


def test_a_form_without_a_file_is_refused(web: FlaskClient, stand_in: StandIn) -> None:
    answer = web.post("/v1/jobs", data={"format": "wav"}, content_type="multipart/form-data")
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "file")
    assert stand_in.keys() == []


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"--x",
        b"--x\r\nno header\r\n\r\nabc",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
    ],
)
def test_a_form_that_is_none_is_refused(web: FlaskClient, stand_in: StandIn, body: bytes) -> None:
    answer = web.post("/v1/jobs", data=body, content_type="multipart/form-data; boundary=x")
    assert (answer.status_code, answer.json["code"]) == (400, "body_malformed")
    assert stand_in.keys() == []


@pytest.mark.usefixtures("stand_in")
def test_other_bodies_are_refused(web: FlaskClient) -> None:
    answer = web.post("/v1/jobs", data=b"<xml/>", content_type="text/xml")
    assert (answer.status_code, answer.json["code"]) == (415, "media_type_unsupported")


def test_a_file_beyond_the_limit_is_refused_and_taken_back(settings: Settings, stand_in: StandIn) -> None:
    web = create_app(settings.model_copy(update={"max_upload_bytes": 1000})).test_client()
    answer = submit(web, b"x" * 1001)
    assert (answer.status_code, answer.json["code"]) == (413, "upload_too_large")
    assert submit(web, b"x" * 1000).status_code == 202
    assert len(stand_in.keys()) == 1


def test_with_no_worker_jobs_wait_for_the_default_engine_alone(web: FlaskClient) -> None:
    assert submit(web).json["engine"] == "repetition"
    assert submit(web, engine="unet").status_code == 202
    answer = submit(web, engine="mystery")
    assert (answer.status_code, answer.json["code"]) == (503, "workers_unavailable")
    assert answer.headers["Retry-After"]


def test_the_best_engine_that_is_there_is_the_default(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.announce(ENGINE, {**ENGINE, "name": "unet"})
    assert submit(web).json["engine"] == "unet"
    assert web.get("/v1/engines").json["default_engine"] == "unet"


def test_a_full_queue_answers_503_and_keeps_nothing(settings: Settings, stand_in: StandIn) -> None:
    web = create_app(settings.model_copy(update={"max_queued_jobs": 1})).test_client()
    assert submit(web).status_code == 202
    answer = submit(web)
    assert (answer.status_code, answer.json["code"]) == (503, "queue_full")
    assert answer.headers["Retry-After"]
    assert len(stand_in.keys()) == 1


def test_an_upload_serves_several_jobs(web: FlaskClient, stand_in: StandIn) -> None:
    upload = web.post("/v1/uploads?filename=../a/song.wav", data=b"samples", content_type="audio/wav")
    assert upload.status_code == 201
    assert upload.json["filename"] == "song.wav"
    wanted = {"source": {"upload_id": upload.json["upload_id"]}, "excerpt": {"start_seconds": 1}}
    first, second = (web.post("/v1/jobs", json=wanted) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json["source"]["upload_id"] == second.json["source"]["upload_id"]
    assert len(stand_in.keys()) == 1
    stand_in.queue.dispatch()
    for job_id in (first.json["id"], second.json["id"]):
        web.post(f"/v1/jobs/{job_id}/cancel")
        assert web.delete(f"/v1/jobs/{job_id}").status_code == 204
    # It stays for later jobs, until nobody has used it for a day.
    assert len(stand_in.keys()) == 1


@pytest.mark.usefixtures("stand_in")
def test_an_unknown_upload_is_gone(web: FlaskClient) -> None:
    answer = web.post("/v1/jobs", json={"source": {"upload_id": "0" * 32}})
    assert (answer.status_code, answer.json["code"]) == (410, "source_missing")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"[" * 100_000, b'{"source": {"upload_id": "../x"}}'])
@pytest.mark.usefixtures("stand_in")
def test_json_that_is_no_job_is_refused(web: FlaskClient, body: bytes) -> None:
    answer = web.post("/v1/jobs", data=body, content_type="application/json")
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Music\\a.mp3", "a.mp3"),
        ("a\u202egnp.mp3", "agnp.mp3"),
        ("日本の歌.flac", "日本の歌.flac"),
        ('say "hi".wav', 'say "hi".wav'),
        ("<img src=x onerror=alert(1)>.wav", "<img src=x onerror=alert(1)>.wav"),
        ("x" * 500 + ".flac", "x" * 195 + ".flac"),
    ],
)
def test_file_names_are_kept_as_harmless_text(web: FlaskClient, stand_in: StandIn, sent: str, kept: str) -> None:
    job = submit(web, filename=sent).json
    assert job["source"]["filename"] == kept
    stand_in.succeed(job["id"])
    stem = web.get(f"/v1/jobs/{job['id']}/stems/vocals")
    assert stem.status_code == 200
    disposition = stem.headers["Content-Disposition"]
    assert disposition.isascii()
    assert parse_options_header(disposition)[1]["filename"] == f"{kept.rpartition('.')[0] or kept} - vocals.flac"


@pytest.mark.parametrize(
    "metadata",
    ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', '{"\\ud800": 1}', '{"a": ' + "[" * 900 + "]" * 900 + "}"],
)
@pytest.mark.usefixtures("stand_in")
def test_what_could_not_be_told_again_is_refused_and_spoils_no_list(web: FlaskClient, metadata: str) -> None:
    upload = web.post("/v1/uploads", data=b"a\0song").json["upload_id"]
    body = f'{{"source": {{"upload_id": "{upload}"}}, "metadata": {metadata}}}'
    refused = web.post("/v1/jobs", data=body, content_type="application/json")
    assert (refused.status_code, refused.json["code"]) == (400, "body_malformed")
    refused = submit(web, metadata=metadata)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "metadata")
    assert web.get("/v1/jobs").json["jobs"] == []


@pytest.mark.usefixtures("stand_in")
def test_truth_is_no_second(web: FlaskClient) -> None:
    upload = web.post("/v1/uploads", data=b"s\0ng").json["upload_id"]
    refused = web.post("/v1/jobs", json={"source": {"upload_id": upload}, "excerpt": {"start_seconds": True}})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "excerpt.start_seconds")


@pytest.mark.parametrize("value", ["NaN", "9" * 400, "-1e400", "true", "null", "[]"])
@pytest.mark.usefixtures("stand_in")
def test_a_parameter_is_a_number_that_everybody_can_read(web: FlaskClient, value: str) -> None:
    refused = submit(web, parameters=f'{{"margin": {value}}}')
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"].startswith("parameters")
