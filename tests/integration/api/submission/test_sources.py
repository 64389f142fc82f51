"""Mixtures that are not sent to the API: objects of other buckets, and uploads sent straight to storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import httpx2
import pytest
from botocore.config import Config
from flask.testing import FlaskClient

from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from tests.fixtures.api import StandIn
from tests.fixtures.network.web_site import SONG, submit_source, web_with
from tests.fixtures.servers import StorageServer


@pytest.mark.usefixtures("stand_in")
def test_urls_and_buckets_are_refused_unless_allowed(web: FlaskClient) -> None:
    for source in ({"url": "https://example.com/a.mp3"}, {"s3": {"bucket": "stems", "key": "uploads/x"}}):
        refused = submit_source(web, **source)
        assert (refused.status_code, refused.json["code"]) == (422, "source_refused")
    for source in ({}, {"url": "https://a.example/", "upload_id": "0" * 32}):
        assert submit_source(web, **source).json["code"] == "request_invalid"


def test_an_object_of_an_allowed_bucket_is_taken_as_it_is_now(settings: Settings, stand_in: StandIn) -> None:
    web = web_with(settings, s3_source_buckets="other, stems")
    stand_in.storage.put_bytes(SONG, "catalog/Ä song.mp3", "audio/mpeg")
    source = {"s3": {"bucket": "stems", "key": "catalog/Ä song.mp3"}}
    answer = submit_source(web, **source)
    assert answer.status_code == 202, answer.text
    job = answer.json
    assert (job["source"]["filename"], job["source"]["size_bytes"]) == ("Ä song.mp3", len(SONG))
    assert web.get(job["source"]["url"]).data == SONG
    pinned = stand_in.store.read_job(job["id"]).request.source
    assert (pinned.bucket, bool(pinned.etag)) == ("stems", True)
    stand_in.storage.put_bytes(b"replaced", "catalog/Ä song.mp3", "audio/mpeg")
    assert web.get(job["source"]["url"]).status_code == 410, "another object is not what was asked for"
    stand_in.store.cancel(job["id"])
    assert web.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert stand_in.keys() == ["catalog/Ä song.mp3"], "what others own stays"
    missing = submit_source(web, s3={"bucket": "stems", "key": "catalog/none.mp3"})
    assert (missing.status_code, missing.json["code"]) == (410, "source_missing")


def test_a_direct_upload_goes_to_storage_and_its_job_is_pinned(settings: Settings, stand_in: StandIn) -> None:
    web = web_with(settings, s3_public_endpoint_url=settings.s3_endpoint_url)
    asked = web.post("/v1/uploads", json={"filename": "../song.mp3", "size_bytes": len(SONG)})
    assert asked.status_code == 200, asked.text
    form = asked.json
    early = submit_source(web, upload_id=form["upload_id"])
    assert (early.status_code, early.json["code"]) == (410, "source_missing")
    too_much = httpx2.post(form["url"], data=form["fields"], files={"file": ("x", SONG + b"more")})
    assert too_much.status_code == 400
    elsewhere = {**form["fields"], "key": "jobs/mine"}
    assert httpx2.post(form["url"], data=elsewhere, files={"file": ("x", SONG)}).status_code == 403
    assert httpx2.post(form["url"], data=form["fields"], files={"file": ("x", SONG)}).status_code == 204
    job = submit_source(web, upload_id=form["upload_id"]).json
    assert (job["source"]["filename"], job["source"]["size_bytes"]) == ("song.mp3", len(SONG))
    request = stand_in.store.read_job(job["id"]).request
    other = httpx2.post(form["url"], data=form["fields"], files={"file": ("x", b"changed")})
    assert other.status_code == 204, "the form works until it expires"
    with pytest.raises(Exception, match="replaced"):
        stand_in.storage.open(request.source.key, etag=request.source.etag)
    assert stand_in.storage.open(request.source.key).length_bytes == 7


def test_a_direct_upload_wants_a_public_storage_and_keeps_to_the_limit(web: FlaskClient, settings: Settings) -> None:
    assert web.post("/v1/uploads", json={"size_bytes": 5}).status_code == 415
    public = web_with(settings, s3_public_endpoint_url=settings.s3_endpoint_url, max_upload_bytes=10)
    assert public.post("/v1/uploads", json={"size_bytes": 11}).json["code"] == "upload_too_large"
    assert public.post("/v1/uploads", json={"size_bytes": 0}).json["code"] == "request_invalid"


@contextmanager
def owner_of(storage: StorageServer) -> Iterator[Settings]:
    assert storage.credentials
    yield Settings(
        s3_endpoint_url=storage.url,
        s3_access_key_id=storage.credentials.storage_admin_access_key_id,
        s3_secret_access_key=storage.credentials.storage_admin_secret_access_key,
    )


def test_an_operator_names_the_pages_that_may_use_the_storage(storage: StorageServer) -> None:
    with owner_of(storage) as settings:
        ObjectStorage(settings).allow_origins(["https://app.example"])
        client = boto3.client(
            "s3",
            endpoint_url=storage.url,
            region_name="us-east-1",
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=settings.s3_secret_access_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        (rule,) = client.get_bucket_cors(Bucket="stems")["CORSRules"]
        client.close()
    assert rule["AllowedOrigins"] == ["https://app.example"]
    asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    granted = httpx2.options(f"{storage.url}/stems/uploads/x", headers=asking)
    assert granted.headers["Access-Control-Allow-Origin"] == "https://app.example"
    stranger = httpx2.options(f"{storage.url}/stems/uploads/x", headers={**asking, "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers
