"""Follows the storage's clock, for signing requests and for the ages of objects.

S3 refuses requests that are signed with a time more than 15 minutes off, so a machine with a wrong clock would fail
every job. The storage sends its time with each answer; this module keeps the difference.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import botocore.auth
import botocore.signers
import structlog
from botocore.auth import SIGV4_TIMESTAMP

log = structlog.get_logger(__name__)

TOLERATED_SECONDS = 300.0
"""Smaller differences, in seconds, are ignored; S3 tolerates three times as much."""

_offset_seconds = 0.0


def storage_seconds() -> float:
    """Return the seconds since 1970 by the storage's clock, as far as it is known."""
    return time.time() + _offset_seconds


def follow_storage_clock(client: Any) -> None:
    """Sign the client's requests by the storage's clock once it has refused one because of its time."""
    client.meta.events.register_first("needs-retry.s3", _correct_clock)
    # botocore has no setting for this, unlike Amazon's SDKs for other languages.
    for module in (botocore.auth, botocore.signers):
        module.get_current_datetime = _signing_time  # type: ignore[attr-defined]


def _correct_clock(
    response: tuple[Any, Mapping[str, Any]] | None, attempts: int, request_dict: Mapping[str, Any], **_: Any
) -> int | None:
    """Return 0, to retry at once, if the refusal may be due to our clock; None otherwise.

    If several requests are refused at the same time, the first corrects the clock, and all are retried.
    """
    global _offset_seconds  # noqa: PLW0603 - a process has one clock
    # The answer to a HEAD request has no body that could name the error.
    if response is None or response[0].status_code != 403 or attempts > 2:
        return None
    try:
        theirs = parsedate_to_datetime(response[0].headers["Date"]).timestamp()
        signed = datetime.strptime(request_dict["context"]["timestamp"], SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return None
    if abs(theirs - signed.timestamp()) < TOLERATED_SECONDS:
        return None
    if abs(theirs - storage_seconds()) >= TOLERATED_SECONDS:
        _offset_seconds = theirs - time.time()
        log.warning("clock differs from the storage: using the storage's time", seconds=round(_offset_seconds))
    return 0


def _signing_time(remove_tzinfo: bool = True) -> datetime:
    now = datetime.now(UTC) + timedelta(seconds=_offset_seconds)
    return now.replace(tzinfo=None) if remove_tzinfo else now
