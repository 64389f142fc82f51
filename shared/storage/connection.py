"""Connects to S3-compatible storage, limits the time of each call, and turns its faults into our errors."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from shared.errors import SourceMissingError, StorageUnavailableError
from shared.settings import Settings
from shared.storage.server_clock import follow_storage_clock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


PROMPT_SECONDS = 1.5
"""How long a prompt call waits for a connection or an answer, in seconds; the API promises to answer within 2 s."""

REPLACED = "The stored object was deleted or replaced."

TRANSIENT_REFUSALS = frozenset({"RequestTimeout", "RequestTimeTooSkewed", "Throttling", "ThrottlingException"})
"""Codes with the status 400 or 403 that are not about the object."""


def connect_storage(settings: Settings, endpoint: str | None, *, prompt: bool = False) -> S3Client:
    """Return a client for the endpoint (None: Amazon S3); nothing is sent yet.

    A prompt client makes only one attempt, with a short time limit.
    """
    patience_seconds = min(PROMPT_SECONDS, settings.s3_timeout_seconds) if prompt else settings.s3_timeout_seconds
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": _addressing_style(settings, endpoint)},
            # Storages that do not know the checksum headers refuse them. We compare sizes and our own SHA-256.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=min(2.0, patience_seconds),
            read_timeout=patience_seconds,
            # All attempts; `max_attempts` would count only those after the first.
            retries={"mode": "standard", "total_max_attempts": 1 if prompt else 3},
            max_pool_connections=64,
        ),
    )
    follow_storage_clock(client)
    _send_md5(client)
    _end_redirects(client)
    return client


def _send_md5(client: S3Client) -> None:
    """Sign DeleteObjects and PutBucketCors with Content-MD5 instead of a checksum header.

    These calls need one of the two. Amazon takes both; Backblaze B2 and older MinIO only take Content-MD5.
    """

    def replace_checksum(request: AWSRequest, **_: object) -> None:
        for name in [n for n in request.headers if n.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-"))]:
            del request.headers[name]
        digest = hashlib.md5(request.data or b"", usedforsecurity=False).digest()
        request.headers["Content-MD5"] = base64.b64encode(digest).decode()

    for call in ("DeleteObjects", "PutBucketCors"):
        client.meta.events.register(f"before-sign.s3.{call}", replace_checksum)


def _end_redirects(client: S3Client) -> None:
    """Keep boto3 from following redirects without end.

    It answers one by asking for the bucket's region (HeadBucket), and does the same if that call is redirected too.
    """
    asking = threading.local()

    def begin(params: dict[str, Any], **_: object) -> None:
        asking.depth = getattr(asking, "depth", 0) + 1
        if asking.depth > 1:
            params["context"].setdefault("s3_redirect", {})["redirected"] = True

    def end(**_: object) -> None:
        asking.depth -= 1

    client.meta.events.register("before-call.s3.HeadBucket", begin)
    client.meta.events.register("after-call.s3.HeadBucket", end)
    client.meta.events.register("after-call-error.s3.HeadBucket", end)


def _addressing_style(settings: Settings, endpoint: str | None) -> Literal["auto", "path", "virtual"]:
    if settings.s3_addressing_style == "auto" and endpoint:
        return "path"
    return settings.s3_addressing_style


@contextmanager
def storage_faults() -> Iterator[None]:
    """Turn faults of S3 calls in this context into SourceMissingError or StorageUnavailableError."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in {"NoSuchKey", "404", "PreconditionFailed", "412"}:
            raise SourceMissingError(REPLACED) from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        is_refusal = status in {400, 403} and code not in TRANSIENT_REFUSALS
        raise StorageUnavailableError(f"The storage refuses ({code}).", is_refusal=is_refusal) from error
    except (BotoCoreError, ResponseParserError, OSError) as error:
        raise StorageUnavailableError(f"The storage does not answer ({type(error).__name__}).") from error
