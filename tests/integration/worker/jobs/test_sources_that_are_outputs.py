"""What a worker fetches for a job whose source is outputs of another job, from a bucket that was restored."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from flask.testing import FlaskClient

from shared.errors import SourceMissingError
from tests.fixtures.api import StandIn, submit
from tests.fixtures.servers import BUCKET
from worker.jobs.attempt import Attempt
from worker.jobs.heartbeat import Heartbeat

STEM = b"0123456789" * 100
"""The vocals; the accompaniment is the same, backwards."""


def restore(stand_in: StandIn, key: str, content: bytes) -> None:
    """Store an object as programs that copy buckets store large ones: its ETag is no digest of its content."""
    client = stand_in.storage._client
    before = client.head_object(Bucket=BUCKET, Key=key)["ETag"]
    upload_id = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    part = client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload_id, PartNumber=1, Body=content)
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    client.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})
    assert client.head_object(Bucket=BUCKET, Key=key)["ETag"] != before


def restored(web: FlaskClient, stand_in: StandIn, *, changed: bool = False) -> str:
    """Return a job with two stems that are in a restored bucket, the vocals perhaps with other content."""
    job_id: str = submit(web).json["id"]
    stand_in.published_ids()
    for stem in stand_in.succeed(job_id, STEM).outputs[:2]:
        content = STEM if stem.name == "vocals" else STEM[::-1]
        restore(stand_in, stem.key, content.replace(b"5", b"6") if changed else content)
    return job_id


def fetched(stand_in: StandIn, job_id: str, folder: Path) -> list[bytes]:
    """Fetch the job's source as a worker does; return its files."""
    stand_in.published_ids()
    claim = stand_in.claim(job_id)
    folder.mkdir()
    with Heartbeat(stand_in.store, claim, 1.0) as heartbeat:
        attempt = Attempt(claim, stand_in.settings, folder=folder, heartbeat=heartbeat, stopping=Event())
        attempt.fetch_outputs(stand_in.storage) if claim.job.request.mixes else attempt.fetch(stand_in.storage)
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


def chained(web: FlaskClient, job_id: str) -> str:
    new_id: str = web.post("/v1/jobs", json={"source": {"job_id": job_id, "output": "vocals"}}).json["id"]
    return new_id


def mixed(web: FlaskClient, job_id: str) -> str:
    new_id: str = web.post(f"/v1/jobs/{job_id}/mixes", json={"mixes": ["same=vocals:0"]}).json["id"]
    return new_id


def test_outputs_of_a_restored_bucket_are_read(web: FlaskClient, stand_in: StandIn, tmp_path: Path) -> None:
    job_id = restored(web, stand_in)
    assert fetched(stand_in, chained(web, job_id), tmp_path / "chain") == [STEM]
    assert fetched(stand_in, mixed(web, job_id), tmp_path / "mix") == [STEM, STEM[::-1]]


def test_outputs_with_other_content_are_not_read(web: FlaskClient, stand_in: StandIn, tmp_path: Path) -> None:
    job_id = restored(web, stand_in, changed=True)
    with pytest.raises(SourceMissingError, match="after it was recorded"):
        fetched(stand_in, chained(web, job_id), tmp_path / "chain")
    with pytest.raises(SourceMissingError, match="after it was recorded"):
        fetched(stand_in, mixed(web, job_id), tmp_path / "mix")
