"""Checks the places that clients name against the settings: source buckets, export buckets, webhook URLs.

Workers check the source buckets of a manifest's lines (shared/batches/item_parser.py).
"""

from __future__ import annotations

from api.outgoing_http.exchange import check_url
from shared.errors import ExportRefusedError, FieldsInvalidError, SourceRefusedError
from shared.settings import Settings, split_names


def check_source_bucket(settings: Settings, bucket: str) -> None:
    """Raise SourceRefusedError unless S3_SOURCE_BUCKETS names the bucket."""
    if bucket not in split_names(settings.s3_source_buckets):
        raise SourceRefusedError("This server does not read from that bucket; S3_SOURCE_BUCKETS does not name it.")


def check_export_bucket(settings: Settings, bucket: str) -> None:
    """Raise ExportRefusedError unless EXPORT_BUCKETS names the bucket."""
    if bucket not in split_names(settings.export_buckets):
        raise ExportRefusedError("This server does not export to that bucket; EXPORT_BUCKETS does not name it.")


def check_webhook_url(settings: Settings, url: str | None) -> str | None:
    """Return a webhook's URL, or None if the client gave none.

    Raises FieldsInvalidError if this server sends no webhooks, UrlRefusedError if the URL is malformed.
    """
    if url is None:
        return None
    if not settings.webhook_secrets:
        raise FieldsInvalidError([{"field": "webhook_url", "message": "this server sends no webhooks"}])
    return check_url(url)
