"""The time by the storage's clock: requests are signed by it, and the ages of objects are told by it.

S3 refuses what is signed more than 15 minutes off, so that one machine with a wrong clock would fail every job it
takes. The storage tells its time with each answer. Owns how far our clock is from it.
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
"""Clocks that differ by less are left alone; S3 tolerates three times as much."""

_offset_seconds = 0.0


def storage_seconds() -> float:
    """Return the seconds since 1970 as the storage counts them, as far as it has told."""
    return time.time() + _offset_seconds


def follow_storage_clock(client: Any) -> None:
    """Sign the client's requests by the storage's clock, once it has refused one for its time."""
    client.meta.events.register_first("needs-retry.s3", _learn)
    # botocore has no setting for it, unlike Amazon's kits for other languages.
    for module in (botocore.auth, botocore.signers):
        module.get_current_datetime = _signing_time  # type: ignore[attr-defined]


def _learn(
    response: tuple[Any, Mapping[str, Any]] | None, attempts: int, request_dict: Mapping[str, Any], **_: Any
) -> int | None:
    """Return 0, to try again at once, when a refusal may be due to our clock; None where it is not our matter.

    Of requests that were under way together the first to be refused corrects the clock, and all go again.
    """
    global _offset_seconds  # noqa: PLW0603 - a process has one clock
    # The answer to a HEAD has no body that could say what was wrong.
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
        log.warning("this machine's clock differs from the storage's, which is used", seconds=round(_offset_seconds))
    return 0


def _signing_time(remove_tzinfo: bool = True) -> datetime:
    now = datetime.now(UTC) + timedelta(seconds=_offset_seconds)
    return now.replace(tzinfo=None) if remove_tzinfo else now
