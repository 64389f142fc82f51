"""Deletes objects: many in one call where the storage takes that, otherwise one at a time.

boto3 signs DeleteObjects with a checksum header that some storages refuse, such as Backblaze B2; others do not have the
call at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import ClientError

from shared.errors import SourceMissingError
from shared.storage.connection import TRANSIENT_REFUSALS, storage_faults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger(__name__)

KEYS_PER_CALL = 1000
"""The most keys that S3 deletes in one call."""

REFUSALS = frozenset({400, 403, 404, 405, 411, 501})
"""Statuses by which storages refuse a call that they do not know, or its headers."""


class Deletions:
    """Deletes objects of one bucket, and remembers whether the storage takes many keys in one call."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._takes_many = True

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; objects that do not exist are ignored. Raises StorageUnavailableError if any remains."""
        for first in range(0, len(keys), KEYS_PER_CALL):
            some = keys[first : first + KEYS_PER_CALL]
            left = self._delete_many(some) if self._takes_many else some
            for key in left:
                self._delete_one(key)
            if left is some and self._takes_many:
                # Only now is it known that the call was refused, and not the credentials.
                log.info("storage refuses DeleteObjects: objects are deleted one at a time")
                self._takes_many = False

    def _delete_many(self, keys: Sequence[str]) -> Sequence[str]:
        """Delete keys in one call; return those that remain, which is `keys` itself if the call was refused."""
        with storage_faults():
            try:
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
                )
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status not in REFUSALS or error.response.get("Error", {}).get("Code") in TRANSIENT_REFUSALS:
                    raise
                return keys
        # The call succeeds although some objects were not deleted. Deleting these again tells why.
        return [error["Key"] for error in answer.get("Errors", []) if "Key" in error]

    def _delete_one(self, key: str) -> None:
        try:
            with storage_faults():
                self._client.delete_object(Bucket=self._bucket, Key=key)
        except SourceMissingError:
            # Amazon S3 answers 204 for a missing object, some storages 404.
            pass
