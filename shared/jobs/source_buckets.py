"""Decides which buckets mixtures and manifests may be read from, for requests and for lines of manifests."""

from __future__ import annotations

from shared.errors import SourceRefusedError
from shared.settings import Settings, split_names


def check_source_bucket(settings: Settings, bucket: str) -> None:
    """Raise SourceRefusedError unless S3_SOURCE_BUCKETS names the bucket."""
    if bucket not in split_names(settings.s3_source_buckets):
        raise SourceRefusedError("This server does not read from that bucket; S3_SOURCE_BUCKETS does not name it.")
