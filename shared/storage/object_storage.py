"""Audio and results in S3-compatible storage: where each object lies, and how it gets there and back.

Owns the layout of keys and the bounds on time and memory of a transfer; owns no record of what should be there.

    uploads/<upload id>           the mixture as it was sent
    jobs/<job id>/<fence>/<file>  what one attempt made; garbage unless the job's record lists it
    batches/<batch id>/…          a batch's items and how they ended (stored_items.py)
    instance                      the id by which Redis and storage know that they belong together
"""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from shared.errors import ScratchFullError, SourceMissingError, StorageUnavailableError
from shared.settings import Settings
from shared.storage.connection import connect_storage, storage_faults
from shared.storage.upload_stream import PART_BYTES, Stored, UploadStream

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, CORSRuleTypeDef

CHUNK_BYTES = 256 * 1024
"""How much a download reads at once."""


MAX_COPY_BYTES = 5_000_000_000
"""The largest object that S3 copies in one call."""


class Body(Protocol):
    """A stream of an object's bytes."""

    def read(self, amt: int | None = None) -> bytes:
        """Return at most `amt` bytes, none at the end."""

    def close(self) -> None:
        """Let the connection go."""


class Digest(Protocol):
    """Something that bytes go into."""

    def update(self, data: bytes, /) -> None:
        """Take bytes."""


@dataclass(frozen=True)
class Opened:
    """An object, or a range of it, that is being read."""

    body: Body
    length_bytes: int
    etag: str

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the bytes; closes the connection at the end, or when the reader goes away."""
        try:
            while chunk := self._read():
                yield chunk
        finally:
            self.body.close()

    def _read(self) -> bytes:
        with storage_faults():
            return self.body.read(CHUNK_BYTES)


def upload_key(upload_id: str) -> str:
    """Return where an upload lies."""
    return f"uploads/{upload_id}"


def output_key(job_id: str, fence: int, filename: str) -> str:
    """Return where an attempt's output lies; the fence keeps attempts apart."""
    return f"jobs/{job_id}/{fence}/{filename}"


PROBE_KEY = output_key("probe", 0, "probe")
"""What `try_out` stores. It lies among outputs: a key may be allowed no other place, and stray objects are removed."""


def job_prefix(job_id: str) -> str:
    """Return what begins the keys of all outputs of a job, from whichever attempt."""
    return f"jobs/{job_id}/"


class ObjectStorage:
    """One bucket. Every method may raise StorageUnavailableError; calls are bounded in time.

    A prompt one gives up within two seconds, for calls that a client waits for; others are patient with a slow server.
    """

    def __init__(self, settings: Settings, *, prompt: bool = False) -> None:
        self.bucket = settings.s3_bucket
        self._client = connect_storage(settings, settings.s3_endpoint_url, prompt=prompt)
        self._signer = (
            connect_storage(settings, settings.s3_public_endpoint_url, prompt=prompt)
            if settings.s3_public_endpoint_url
            else self._client
        )

    def ping(self, bucket: str | None = None) -> None:
        """Raise StorageUnavailableError unless the bucket answers; one that does not exist does not."""
        try:
            with storage_faults():
                self._client.head_bucket(Bucket=bucket or self.bucket)
        except SourceMissingError as error:
            raise StorageUnavailableError("The bucket does not exist.") from error

    def try_out(self) -> None:
        """Store, read and remove a small object. Raises StorageUnavailableError unless all of it works."""
        content = b"probe"
        self.put_bytes(content, PROBE_KEY, "text/plain")
        try:
            found = b"".join(self.open(PROBE_KEY).chunks())
        except SourceMissingError:
            # Another worker, which tries the storage out as well, has removed it just now.
            found = content
        if found != content:
            raise StorageUnavailableError("The storage returns other bytes than were stored.")
        self.delete([PROBE_KEY])

    def open_upload(self, key: str) -> UploadStream:
        """Begin an upload whose length need not be known."""
        return UploadStream(self._client, self.bucket, key)

    def put_file(self, path: Path, key: str, content_type: str, stop: Callable[[], None] | None = None) -> Stored:
        """Upload a file in parts and see that what arrived is what was sent.

        `stop` is called between parts and may raise to give up; the upload is then taken back.
        """
        with self.open_upload(key) as upload, path.open("rb") as file:
            upload.content_type = content_type
            while block := file.read(PART_BYTES):
                if stop:
                    stop()
                upload.write(block)
            return upload.finish()

    def copy(self, key: str, to: str, *, size_bytes: int, etag: str | None = None, bucket: str | None = None) -> str:
        """Have the storage copy an object of at most MAX_COPY_BYTES, to another bucket if one is given.

        Sees that all of it arrived; returns the copy's ETag. Raises SourceMissingError, also if the object has
        another ETag than the one given.
        """
        source: CopySourceTypeDef = {"Bucket": self.bucket, "Key": key}
        wanted: dict[str, Any] = {"CopySourceIfMatch": etag} if etag else {}
        with storage_faults():
            self._client.copy_object(Bucket=bucket or self.bucket, Key=to, CopySource=source, **wanted)
        copied_bytes, copied_etag = self.head(to, bucket=bucket)
        if copied_bytes != size_bytes:
            raise StorageUnavailableError("The storage holds another size than was copied.")
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
        """Download an object to a file; return its size. Raises SourceMissingError if it is gone or was replaced.

        `on_bytes` is told how many bytes have come so far, and may raise to give up; `digest` gets them all.
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
            raise StorageUnavailableError("The storage ended a download early.")
        return done

    def open(
        self, key: str, *, bucket: str | None = None, byte_range: str | None = None, etag: str | None = None
    ) -> Opened:
        """Open an object for reading, whole or in an HTTP range. Raises SourceMissingError."""
        wanted: dict[str, Any] = {"Bucket": bucket or self.bucket, "Key": key}
        if byte_range:
            wanted["Range"] = byte_range
        if etag:
            wanted["IfMatch"] = etag
        with storage_faults():
            answer = self._client.get_object(**wanted)
        return Opened(answer["Body"], answer["ContentLength"], answer["ETag"])

    def head(self, key: str, *, bucket: str | None = None) -> tuple[int, str]:
        """Return an object's size in bytes and its ETag. Raises SourceMissingError."""
        with storage_faults():
            answer = self._client.head_object(Bucket=bucket or self.bucket, Key=key)
        return int(answer["ContentLength"]), answer["ETag"]

    def signed_form(self, key: str, *, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
        """Return the address and the fields of a form by which anyone may store this one object for a while."""
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
        """Return a link that anyone may follow for a while; it downloads under the given name."""
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
        """Let the pages of these web origins, and no others, read and send from a browser."""
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
        """Yield key, size in bytes and time of change (seconds since 1970) of the objects below a prefix."""
        with storage_faults():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield item["Key"], item["Size"], item["LastModified"].timestamp()

    def list_objects(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[tuple[str, int, str]]:
        """Yield key, size in bytes and ETag of the objects below a prefix in any bucket, in the keys' order."""
        pages = self._client.get_paginator("list_objects_v2")
        with storage_faults():
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, StartAfter=start_after):
                for item in page.get("Contents", []):
                    yield item["Key"], item["Size"], item["ETag"]

    def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are gone already do not matter."""
        with storage_faults():
            for first in range(0, len(keys), 1000):
                batch = [{"Key": k} for k in keys[first : first + 1000]]
                self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})  # type: ignore[typeddict-item]

    def abort_uploads_begun_before(self, moment: float) -> int:
        """Take back multipart uploads that were begun before then (seconds since 1970); return their number."""
        aborted = 0
        with storage_faults():
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
                for upload in page.get("Uploads", []):
                    if upload["Initiated"].timestamp() < moment:
                        self._client.abort_multipart_upload(
                            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        aborted += 1
        return aborted

    def delete_below(self, prefix: str) -> int:
        """Remove every object whose key begins so; return their number."""
        keys = [key for key, _, _ in self.list_keys(prefix)]
        self.delete(keys)
        return len(keys)


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise ScratchFullError("The worker's scratch disk is full.") from error
