"""`Prefer: wait=n` (RFC 7240): holds a response back until a job has ended.

A server that stops or has no free thread responds at once, which the RFC allows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from flask import request

from api.access.authentication import check_key
from api.services import services
from shared.jobs.model import TERMINAL, Job

APPLIED = "Preference-Applied"

MAX_WAIT_SECONDS = 60
"""The longest wait. Many proxies close a silent connection after a minute."""

WAIT = re.compile(r"""(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])""", re.IGNORECASE)


def preferred_wait_seconds() -> int:
    """Return the seconds that the request asks to wait; 0 without a preference or with a malformed one."""
    if "HTTP_PREFER" not in request.environ:
        return 0
    found = WAIT.search(",".join(request.headers.getlist("Prefer")))
    return min(MAX_WAIT_SECONDS, int(found[1])) if found else 0


def has_ended(job: Job) -> bool:
    """Return whether the job is in a final state."""
    return job.state in TERMINAL


def wait_until(job: Job, seconds: float, reached: Callable[[Job], bool]) -> tuple[Job, bool]:
    """Return the job once `reached` holds or `seconds` have passed, and whether there was a free place to wait.

    Raises StoreUnavailableError, JobNotFoundError (the job was deleted meanwhile), KeyInvalidError (the key was
    revoked).
    """
    deadline = time.monotonic() + seconds
    with services().open_calls.count_wait() as has_place, services().changes.follow(job.id) as follower:
        if not has_place or follower is None:
            return job, False
        while True:
            job = services().items.read_job(job.id)
            check_key()
            left = deadline - time.monotonic()
            if reached(job) or left <= 0 or follower.is_server_stopping:
                return job, True
            follower.wait_for_change(left)
