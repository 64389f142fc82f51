"""What lies in storage in the place of a recorded object is never sent, in no way that outputs are sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from api.app import create_app
from shared.jobs.model import STORAGE_ETAG
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit
from tests.fixtures.servers import BUCKET, StorageServer

STEM = bytes(range(256)) * 40

Replace = Callable[[str, bytes], None]


@pytest.fixture(name="path")
def _path(web: FlaskClient, stand_in: StandIn) -> str:
    """The path of a job that is done."""
    path: str = submit(web, b"the\0mixture", "song.mp3").headers["Location"]
    stand_in.succeed(path.rsplit("/", 1)[1], STEM)
    return path


def key_with(stand_in: StandIn, part: str) -> str:
    [found] = filter(lambda key: part in key, stand_in.keys())
    return found


@pytest.fixture(name="replace_object")
def _replace_object(session_storage: StorageServer, stand_in: StandIn) -> Replace:
    def replace(part: str, content: bytes) -> None:
        session_storage.client().put_object(Bucket=BUCKET, Key=key_with(stand_in, part), Body=content)

    return replace


@pytest.mark.parametrize(
    ("part", "output"),
    [
        ("/vocals.flac", "stems/vocals"),
        ("/spectrogram.png", "pictures/spectrogram"),
        ("/waveform-vocals.json", "waveforms/vocals"),
        ("/report.json", "report"),
        ("uploads/", "source"),
    ],
)
def test_an_object_in_the_place_of_an_output_is_not_sent(
    web: FlaskClient, path: str, replace_object: Replace, part: str, output: str
) -> None:
    size = web.get(f"{path}/{output}").content_length
    assert size
    replace_object(part, b"\0" * size)
    with capture_logs() as logs:
        for headers in ({}, {"Range": "bytes=0-0"}):
            answer = web.get(f"{path}/{output}", headers=headers)
            assert (answer.status_code, answer.json["code"]) == (410, "output_gone")
        assert web.head(f"{path}/{output}").status_code == 410
    warned = [entry for entry in logs if "stored object missing or replaced" in entry["event"]]
    assert len(warned) == 3
    assert all(part in entry["key"] for entry in warned)


@pytest.mark.parametrize("part", ["/vocals.flac", "/accompaniment.flac", "/report.json"])
def test_no_archive_is_begun_that_would_hold_another_object(
    web: FlaskClient, path: str, replace_object: Replace, part: str
) -> None:
    whole = web.get(f"{path}/archive")
    assert zipfile.ZipFile(io.BytesIO(whole.data)).testzip() is None
    replace_object(part, b"other")
    assert web.get(f"{path}/archive").json["code"] == "output_gone"
    assert web.head(f"{path}/archive").status_code == 410


def test_no_link_is_signed_for_another_object(settings: Settings, path: str, replace_object: Replace) -> None:
    public = settings.model_copy(update={"s3_public_endpoint_url": "https://stems.example"})
    web = create_app(public).test_client()
    assert web.get(f"{path}/stems/vocals").status_code == 302
    replace_object("/vocals.flac", b"\0" * len(STEM))
    assert web.get(f"{path}/stems/vocals").json["code"] == "output_gone"


def test_an_object_that_is_gone_is_told_to_head_too(
    web: FlaskClient, path: str, session_storage: StorageServer, stand_in: StandIn
) -> None:
    session_storage.client().delete_object(Bucket=BUCKET, Key=key_with(stand_in, "/vocals.flac"))
    assert web.head(f"{path}/stems/vocals").status_code == 410


def test_the_same_content_under_another_etag_is_sent(
    web: FlaskClient, path: str, session_storage: StorageServer, stand_in: StandIn
) -> None:
    """As after a copy of the bucket, which gives large objects other ETags."""
    key = key_with(stand_in, "/vocals.flac")
    client = session_storage.client()
    before = client.head_object(Bucket=BUCKET, Key=key)["ETag"]
    upload_id = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    name: dict[str, Any] = {"Bucket": BUCKET, "Key": key, "UploadId": upload_id}
    etag = client.upload_part(**name, PartNumber=1, Body=STEM)["ETag"]
    client.complete_multipart_upload(**name, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert client.head_object(Bucket=BUCKET, Key=key)["ETag"] != before
    for _ in range(2):
        assert web.get(f"{path}/stems/vocals").data == STEM
        assert web.get(f"{path}/stems/vocals", headers={"Range": "bytes=5-6"}).data == STEM[5:7]
        assert web.head(f"{path}/stems/vocals").status_code == 200


def test_clients_do_not_see_the_storages_own_names(web: FlaskClient, path: str) -> None:
    assert STORAGE_ETAG not in web.get(path).get_data(as_text=True)
