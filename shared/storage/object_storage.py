"""Reads and writes objects in S3-compatible storage. object_keys.py has the layout of their keys."""

from __future__ import annotations

import hashlib
import itertools
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from botocore.exceptions import ClientError

from shared.errors import ScratchFullError, SourceMissingError, StorageUnavailableError
from shared.settings import Settings
from shared.storage.connection import REPLACED, connect_storage, storage_faults
from shared.storage.deletion import Deletions
from shared.storage.object_keys import PROBE_KEY
from shared.storage.opened_object import Opened
from shared.storage.upload_stream import PART_BYTES, Stored, UploadStream

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, CORSRuleTypeDef

MAX_COPY_BYTES = 5_000_000_000
"""The largest object that S3 copies in one call."""

DELETE_AT_ONCE = 1000
"""Objects that S3 deletes in one call. No more keys than these are kept in memory."""


class Digest(Protocol):
    """A running digest."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


class ObjectStorage:
    """One bucket. Every method may raise StorageUnavailableError; the time of each call is limited.

    With `prompt`, calls give up within two seconds, for requests that a client waits for.
    """

    def __init__(self, settings: Settings, *, prompt: bool = False) -> None:
        self.bucket = settings.s3_bucket
        self._client = connect_storage(settings, settings.s3_endpoint_url, prompt=prompt)
        self._deletions = Deletions(self._client, self.bucket)
        self._signer = (
            connect_storage(settings, settings.s3_public_endpoint_url, prompt=prompt)
            if settings.s3_public_endpoint_url
            else self._client
        )

    def ping(self, bucket: str | None = None) -> None:
        """Raise StorageUnavailableError unless the bucket exists and answers."""
        try:
            with storage_faults():
                self._client.head_bucket(Bucket=bucket or self.bucket)
        except SourceMissingError as error:
            raise StorageUnavailableError("The bucket does not exist.") from error

    def is_answering(self, bucket: str | None = None) -> bool:
        """Return whether the bucket exists and answers."""
        try:
            self.ping(bucket)
        except StorageUnavailableError:
            return False
        return True

    def try_out(self) -> None:
        """Store, read and delete a small object. Raises StorageUnavailableError unless all of this works."""
        content = b"probe"
        self.put_bytes(content, PROBE_KEY, "text/plain")
        try:
            found = b"".join(self.open(PROBE_KEY).chunks())
        except SourceMissingError:
            # Another worker that also tries out the storage has just deleted it.
            found = content
        if found != content:
            raise StorageUnavailableError("The storage returned other bytes than were stored.")
        self.delete([PROBE_KEY])

    def open_upload(self, key: str) -> UploadStream:
        """Begin an upload of unknown length."""
        return UploadStream(self._client, self.bucket, key)

    def put_file(self, path: Path, key: str, content_type: str, stop: Callable[[], None] | None = None) -> Stored:
        """Upload a file in parts, and check the size of the stored object.

        `stop` is called between parts and may raise to end the upload, which is then aborted.
        """
        with self.open_upload(key) as upload, path.open("rb") as file:
            upload.content_type = content_type
            while block := file.read(PART_BYTES):
                if stop:
                    stop()
                upload.write(block)
            return upload.finish()

    def copy(self, key: str, to: str, *, size_bytes: int, etag: str | None = None, bucket: str | None = None) -> str:
        """Copy an object of at most MAX_COPY_BYTES inside the storage, to another bucket if one is given.

        Checks the copy's size and returns its ETag. Raises SourceMissingError if the object does not exist or does
        not have the given ETag.
        """
        if etag and self.head(key)[1] != etag:
            # Ceph and others ignore the condition of CopyObject.
            raise SourceMissingError(REPLACED)
        source: CopySourceTypeDef = {"Bucket": self.bucket, "Key": key}
        wanted: dict[str, Any] = {"CopySourceIfMatch": etag} if etag else {}
        with storage_faults():
            self._client.copy_object(Bucket=bucket or self.bucket, Key=to, CopySource=source, **wanted)
        copied_bytes, copied_etag = self.head(to, bucket=bucket)
        if copied_bytes != size_bytes:
            raise StorageUnavailableError("The copy does not have the size of the original.")
        return copied_etag

    def put_bytes(self, content: bytes, key: str, content_type: str) -> Stored:
        """Store a small object in one call."""
        with storage_faults():
            answer = self._client.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType=content_type)
        return Stored(key, len(content), answer["ETag"], hashlib.sha256(content).hexdigest())

    def fetch(
        self,
        key: str,
        path: Path,
        *,
        bucket: str | None = None,
        etag: str | None = None,
        on_bytes: Callable[[int], None] | None = None,
        digest: Digest | None = None,
    ) -> int:
        """Download an object to a file; return its size. Raises SourceMissingError, ScratchFullError.

        `on_bytes` is called with the number of bytes received so far, and may raise to end the download. `digest`
        receives all bytes.
        """
        opened = self.open(key, bucket=bucket, etag=etag)
        done = 0
        with path.open("wb") as file:
            for chunk in opened.chunks():
                _write(file, chunk)
                if digest:
                    digest.update(chunk)
                done += len(chunk)
                if on_bytes:
                    on_bytes(done)
        if done != opened.length_bytes:
            raise StorageUnavailableError("The storage ended the download early.")
        return done

    def open(
        self, key: str, *, bucket: str | None = None, byte_range: str | None = None, etag: str | None = None
    ) -> Opened:
        """Open an object, or an HTTP range of it, for reading.

        Raises SourceMissingError if it does not exist or does not have the given ETag.
        """
        wanted: dict[str, Any] = {"Bucket": bucket or self.bucket, "Key": key}
        if byte_range:
            wanted["Range"] = byte_range
        if etag:
            wanted["IfMatch"] = etag
        with storage_faults():
            answer = self._client.get_object(**wanted)
        opened = Opened(answer["Body"], answer["ContentLength"], answer["ETag"])
        if etag and opened.etag != etag:
            # The storage ignored If-Match.
            opened.body.close()
            raise SourceMissingError(REPLACED)
        return opened

    def head(self, key: str, *, bucket: str | None = None) -> tuple[int, str]:
        """Return an object's size in bytes and its ETag. Raises SourceMissingError."""
        with storage_faults():
            answer = self._client.head_object(Bucket=bucket or self.bucket, Key=key)
        return int(answer["ContentLength"]), answer["ETag"]

    def signed_form(self, key: str, *, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
        """Return the URL and the fields of a form with which anyone may store this object for `seconds`."""
        answer = self._signer.generate_presigned_post(
            Bucket=self.bucket,
            Key=key,
            Conditions=[["content-length-range", 1, max_bytes]],
            ExpiresIn=seconds,
        )
        return answer["url"], answer["fields"]

    def signed_url(
        self, key: str, *, filename: str, content_type: str, seconds: int = 3600, bucket: str | None = None
    ) -> str:
        """Return a link with which anyone may download the object for `seconds`, under the given file name."""
        disposition = f"attachment; filename*=UTF-8''{urllib.parse.quote(filename, safe='')}"
        return str(
            self._signer.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": bucket or self.bucket,
                    "Key": key,
                    "ResponseContentDisposition": disposition,
                    "ResponseContentType": content_type,
                },
                ExpiresIn=seconds,
            )
        )

    def allow_origins(self, origins: Sequence[str]) -> None:
        """Allow web pages of these origins, and of no others, to read and store objects."""
        rule: CORSRuleTypeDef = {
            "AllowedOrigins": list(origins),
            "AllowedMethods": ["GET", "HEAD", "POST"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag", "Content-Length", "Content-Range", "Accept-Ranges"],
            "MaxAgeSeconds": 3600,
        }
        with storage_faults():
            self._client.put_bucket_cors(Bucket=self.bucket, CORSConfiguration={"CORSRules": [rule]})

    def list_keys(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield key, size in bytes and modification time (seconds since 1970) of the objects below a prefix."""
        with storage_faults():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield item["Key"], item["Size"], item["LastModified"].timestamp()

    def list_objects(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[tuple[str, int, str]]:
        """Yield key, size in bytes and ETag of the objects below a prefix of any bucket, sorted by key."""
        pages = self._client.get_paginator("list_objects_v2")
        with storage_faults():
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, StartAfter=start_after):
                for item in page.get("Contents", []):
                    # Some storages leave out the quotes here, and only here.
                    yield item["Key"], item["Size"], f'"{item["ETag"].strip(chr(34))}"'

    def delete(self, keys: list[str]) -> None:
        """Delete objects; objects that do not exist are ignored."""
        self._deletions.delete(keys)

    def abort_uploads_begun_before(self, moment: float) -> int:
        """Abort multipart uploads that began before `moment` (seconds since 1970); return their number.

        It is 0 if the storage cannot list them.
        """
        aborted = 0
        with storage_faults(), _unless_not_implemented():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
            for upload in itertools.chain.from_iterable(page.get("Uploads", []) for page in pages):
                if upload["Initiated"].timestamp() < moment:
                    key, upload_id = upload["Key"], upload["UploadId"]
                    self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
                    aborted += 1
        return aborted

    def delete_below(self, prefix: str) -> int:
        """Delete all objects below a prefix, DELETE_AT_ONCE at a time; return their number."""
        keys = (key for key, _, _ in self.list_keys(prefix))
        deleted = 0
        while some := list(itertools.islice(keys, DELETE_AT_ONCE)):
            self.delete(some)
            deleted += len(some)
        return deleted


@contextmanager
def _unless_not_implemented() -> Iterator[None]:
    """End this context early if the storage does not have the call."""
    try:
        yield
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in {405, 501}:
            raise


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise ScratchFullError from error
