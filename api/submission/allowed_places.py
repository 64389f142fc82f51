"""Checks export buckets and webhook URLs against the settings.

shared/jobs/source_buckets.py checks source buckets, also for the lines of manifests.
"""

from __future__ import annotations

from api.outgoing_http.exchange import check_url
from shared.errors import ExportRefusedError, FieldsInvalidError
from shared.settings import Settings, split_names


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
