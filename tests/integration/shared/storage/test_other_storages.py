"""Storages that refuse or ignore what SeaweedFS takes: checksum headers, DeleteObjects, conditions on ETags."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import SourceMissingError, StorageUnavailableError
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from shared.storage.upload_stream import PART_BYTES
from tests.fixtures.network import picky_storage as picky
from tests.fixtures.network.picky_storage import Refusal, picky_storage
from tests.fixtures.ports import find_free


def storage_behind(port: int, storage_settings: dict[str, Any], **changes: Any) -> ObjectStorage:
    return ObjectStorage(Settings(**{**storage_settings, "s3_endpoint_url": f"http://127.0.0.1:{port}", **changes}))


REFUSALS: dict[str, Refusal] = {
    "checksum headers": picky.checksum_headers,
    "missing MD5": picky.delete_objects_without_md5,
    "not implemented": picky.delete_objects(501, "NotImplemented"),
    "method not allowed": picky.delete_objects(405, "MethodNotAllowed"),
}
TAKES_MANY = {"checksum headers", "missing MD5"}


@pytest.mark.parametrize("name", REFUSALS)
def test_objects_are_stored_read_and_deleted(name: str, storage_settings: dict[str, Any]) -> None:
    port = find_free()
    with picky_storage(storage_settings["s3_endpoint_url"], REFUSALS[name], port) as seen:
        storage = storage_behind(port, storage_settings)
        storage.try_out()
        with storage.open_upload("uploads/large") as upload:
            upload.write(bytes(PART_BYTES + 5))
            upload.finish()
        storage.copy("uploads/large", "jobs/a/1/large", size_bytes=PART_BYTES + 5)
        assert b"".join(storage.open("uploads/large", byte_range="bytes=0-3").chunks()) == bytes(4)
        storage.delete(["uploads/large", "jobs/a/1/large", "jobs/never/was"])
        assert list(storage.list_keys("")) == []
        refused = [line for line in seen if "refused" in line]
        if name in TAKES_MANY:
            assert refused == []
            return
        assert len(refused) == 1, "it is asked once, and remembers"
        assert "?delete" in refused[0]


def test_cross_origin_rules_are_signed_with_md5(storage_settings: dict[str, Any]) -> None:
    port = find_free()
    with picky_storage(storage_settings["s3_endpoint_url"], picky.checksum_headers, port) as seen:
        storage_behind(port, storage_settings).allow_origins(["https://app.example"])
        assert seen == ["PUT /stems?cors"]


def test_a_replaced_object_is_missing_where_conditions_are_ignored(storage_settings: dict[str, Any]) -> None:
    """Ceph ignores the condition of CopyObject, and s3rver and rclone also If-Match."""
    storage = ObjectStorage(Settings(**storage_settings))

    def forget_conditions(request: Any, **_: Any) -> None:
        for name in ("If-Match", "x-amz-copy-source-if-match"):
            del request.headers[name]

    storage._client.meta.events.register("before-sign.s3", forget_conditions)
    old = storage.put_bytes(b"old", "uploads/a", "text/plain")
    storage.put_bytes(b"new", "uploads/a", "text/plain")
    with pytest.raises(SourceMissingError):
        storage.open("uploads/a", etag=old.etag)
    with pytest.raises(SourceMissingError):
        storage.copy("uploads/a", "jobs/a/1/a", size_bytes=3, etag=old.etag)
    assert list(storage.list_keys("jobs/")) == []
    storage.delete(["uploads/a"])


def test_listed_etags_have_quotes(storage_settings: dict[str, Any]) -> None:
    """rclone leaves them out in listings, and there only."""
    storage = ObjectStorage(Settings(**storage_settings))
    stored = storage.put_bytes(b"a", "uploads/a", "text/plain")

    def unquote(parsed: Any, **_: Any) -> None:
        for item in parsed["Contents"]:
            item["ETag"] = item["ETag"].strip('"')

    storage._client.meta.events.register("after-call.s3.ListObjectsV2", unquote)
    assert list(storage.list_objects("stems", "uploads/")) == [("uploads/a", 1, stored.etag)]
    storage.delete(["uploads/a"])


def test_a_storage_that_cannot_list_uploads_in_parts_has_none_to_abort(storage_settings: dict[str, Any]) -> None:
    port = find_free()
    with picky_storage(storage_settings["s3_endpoint_url"], picky.list_of_uploads, port) as seen:
        assert storage_behind(port, storage_settings).abort_uploads_begun_before(1.0) == 0
        assert seen == ["GET /stems?uploads refused 501"]


@pytest.mark.parametrize(("status", "code"), [(301, "PermanentRedirect"), (307, "TemporaryRedirect")])
def test_a_storage_that_only_redirects_is_told(storage_settings: dict[str, Any], status: int, code: str) -> None:
    port = find_free()
    with picky_storage(storage_settings["s3_endpoint_url"], picky.everything(status, code), port) as seen:
        storage = storage_behind(port, storage_settings)
        for call in (storage.try_out, storage.ping, storage.try_out):
            with pytest.raises(StorageUnavailableError, match="refuses"):
                call()
        assert len(seen) < 20, "they end"


def test_a_key_that_may_not_delete_is_told_and_tried_again(storage_settings: dict[str, Any]) -> None:
    port = find_free()
    with picky_storage(storage_settings["s3_endpoint_url"], picky.deletions, port) as seen:
        storage = storage_behind(port, storage_settings)
        storage.put_bytes(b"a", "jobs/a/1/a", "text/plain")
        for _ in range(2):
            with pytest.raises(StorageUnavailableError) as refused:
                storage.delete(["jobs/a/1/a"])
            assert refused.value.is_refusal
        assert sum("?delete" in line for line in seen) == 2, "DeleteObjects is not given up for another reason"


def test_objects_that_a_successful_call_left_are_told(storage_settings: dict[str, Any]) -> None:
    """DeleteObjects answers 200 and lists what it did not delete."""
    storage = ObjectStorage(Settings(**storage_settings))

    class PartialAnswer:
        """A stand-in for a storage with an object lock, which SeaweedFS here has not."""

        def delete_objects(self, **_: Any) -> Any:
            return {"Errors": [{"Key": "jobs/a/1/locked", "Code": "AccessDenied"}]}

        def delete_object(self, Bucket: str, Key: str) -> Any:
            return storage._client.delete_object(Bucket=f"{Bucket}-of-others", Key=Key)

    storage._deletions._client = PartialAnswer()  # type: ignore[assignment]
    with pytest.raises(StorageUnavailableError):
        storage.delete(["jobs/a/1/locked", "jobs/a/1/free"])


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({"s3_endpoint_url": "https://s3.example"}, "https://s3.example/stems/a?"),
        ({"s3_endpoint_url": "https://s3.example", "s3_addressing_style": "path"}, "https://s3.example/stems/a?"),
        ({"s3_endpoint_url": "https://s3.example", "s3_addressing_style": "virtual"}, "https://stems.s3.example/a?"),
        ({"s3_addressing_style": "path"}, "https://s3.amazonaws.com/stems/a?"),
        ({"s3_addressing_style": "auto"}, "https://stems.s3.amazonaws.com/a?"),
        (
            {"s3_public_endpoint_url": "https://cdn.example", "s3_addressing_style": "virtual"},
            "https://stems.cdn.example/a?",
        ),
    ],
)
def test_urls_name_the_bucket_as_the_setting_says(settings: dict[str, Any], begins: str) -> None:
    storage = ObjectStorage(Settings(s3_access_key_id="a", s3_secret_access_key="b", **settings))
    assert storage.signed_url("a", filename="a.flac", content_type="audio/flac").startswith(begins)
