"""What was made and what is being made, by names of content, in Redis: so that the same is made once.

Owns the asking alone. Names come from worker/jobs/result_cache.py; a job's end writes them down, and lets those go on
that waited for it, in the scripts that end it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from shared.jobs.store import Claim
from shared.redis_client.connection import connect
from shared.redis_client.scripts import Scripts
from shared.settings import Settings


@dataclass(frozen=True)
class Reserved:
    """What became of the wish to make something: `go`; `known`, since a job has made it; `waits`, since one is at it,
    and the claim is given back until that has ended; `lost`, as the claim is."""

    answer: str
    known_job_id: str | None


class ContentStore:
    """The names. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._scripts = Scripts(client or connect(settings), settings.redis_prefix)

    def reserve(self, claim: Claim, contents: Sequence[str]) -> Reserved:
        """Ask to make what has these names, before it is made; the first is looked for."""
        answer, *job_id = self._scripts.run("jobs/reserve_result", claim.job.id, claim.fence, *contents)
        return Reserved(answer, job_id[0] if job_id else None)
