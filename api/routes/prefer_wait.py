"""`Prefer: wait=n` (RFC 7240): an answer that is held back until a job has ended.

Owns how long; a server that has no thread to spare, or stops, answers at once, which the preference allows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from flask import request

from api.access.authentication import demand_key
from api.services import services
from shared.jobs.model import TERMINAL, Job

APPLIED = "Preference-Applied"

MAX_WAIT_SECONDS = 60
"""The longest wait that is granted; proxies cut a silent connection after a minute or more."""

WAIT = re.compile(r"""(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])""", re.IGNORECASE)


def preferred_wait_seconds() -> int:
    """Return how long the request wants to wait; 0 for not at all. What cannot be read is no preference."""
    if "HTTP_PREFER" not in request.environ:
        return 0
    found = WAIT.search(",".join(request.headers.getlist("Prefer")))
    return min(MAX_WAIT_SECONDS, int(found[1])) if found else 0


def has_ended(job: Job) -> bool:
    """Return whether nothing more will happen to the job by itself."""
    return job.state in TERMINAL


def wait_until(job: Job, seconds: float, reached: Callable[[Job], bool]) -> tuple[Job, bool]:
    """Return the job once it is as wanted or the time is over, and whether it was waited for at all.

    Raises StoreUnavailableError; JobNotFoundError, KeyInvalidError: meanwhile a job can be deleted, a key revoked.
    """
    deadline = time.monotonic() + seconds
    with services().open_calls.waiting() as has_place, services().changes.follow(job.id) as follower:
        if not has_place or follower is None:
            return job, False
        while True:
            job = services().items.read_job(job.id)
            demand_key()
            left = deadline - time.monotonic()
            if reached(job) or left <= 0 or follower.ended:
                return job, True
            follower.wait(left)
