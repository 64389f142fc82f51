"""Uploads an object of unknown length to storage in parts, with one part in memory at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from shared.errors import StemqueueError, StorageUnavailableError
from shared.storage.connection import storage_faults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger(__name__)

PART_BYTES = 8 * 1024 * 1024
"""Size of a multipart upload's parts. Raising it holds more memory per upload and allows larger objects
(10,000 parts at most: 80 GB at 8 MiB)."""


@dataclass(frozen=True)
class Stored:
    """An object in storage."""

    key: str
    size_bytes: int
    etag: str
    sha256: str


class UploadStream:
    """An upload in progress, used as a context manager. Unless `finish` is called, the upload is aborted.

    Small objects are stored in one call, without a multipart upload.
    """

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        self.content_type = "application/octet-stream"
        self.size_bytes = 0
        self._client = client
        self._bucket = bucket
        self._key = key
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._done = False

    def __enter__(self) -> UploadStream:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._done:
            self._abort()

    def write(self, block: bytes) -> int:
        """Add bytes, and send each part that is full."""
        self.size_bytes += len(block)
        self._digest.update(block)
        self._buffer += block
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return len(block)

    def finish(self) -> Stored:
        """Complete the object, and check that the storage holds as many bytes as were sent."""
        with storage_faults():
            if self._upload_id is None:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._key, Body=bytes(self._buffer), ContentType=self.content_type
                )
            else:
                if self._buffer:
                    self._send(bytes(self._buffer))
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._parts},  # type: ignore[typeddict-item]
                )
            self._done = True
            self._buffer.clear()
            head = self._client.head_object(Bucket=self._bucket, Key=self._key)
        if head["ContentLength"] != self.size_bytes:
            raise StorageUnavailableError("The stored object does not have the size that was sent.")
        return Stored(self._key, self.size_bytes, head["ETag"], self._digest.hexdigest())

    def _abort(self) -> None:
        self._done = True
        self._buffer.clear()
        if self._upload_id is None:
            return
        try:
            with storage_faults():
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
        except StemqueueError as error:
            # The error that ended the upload matters more to the caller than this one.
            log.warning("upload not aborted: left to garbage collection", key=self._key, error=error.message)

    def _send(self, part: bytes) -> None:
        with storage_faults():
            if self._upload_id is None:
                begun = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._key, ContentType=self.content_type
                )
                self._upload_id = begun["UploadId"]
            number = len(self._parts) + 1
            answer = self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=self._upload_id, PartNumber=number, Body=part
            )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
