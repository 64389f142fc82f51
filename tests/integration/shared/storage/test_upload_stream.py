"""An upload to storage that is aborted."""

from __future__ import annotations

import pytest

from shared.settings import Settings
from shared.storage.object_keys import upload_key
from shared.storage.object_storage import ObjectStorage
from shared.storage.upload_stream import PART_BYTES
from tests.fixtures.servers import StorageServer


class GivenUpError(Exception):
    """The error that ends an upload."""


def give_up(uploads: ObjectStorage, storage: StorageServer) -> None:
    with uploads.open_upload(upload_key("x")) as upload:
        upload.write(bytes(PART_BYTES))
        storage.kill()
        raise GivenUpError


def test_why_an_upload_was_given_up_is_told_although_the_storage_is_away(storage: StorageServer) -> None:
    uploads = ObjectStorage(Settings(s3_timeout_seconds=1, **storage.settings()))
    with pytest.raises(GivenUpError):
        give_up(uploads, storage)
