"""Holds the limits on new jobs, batches and uploads, and turns a script's refusal into an error.

The Lua scripts compare the counts with the limits, because they must do so in the step that accepts something.
"""

from __future__ import annotations

from typing import TypedDict

import redis

from shared.errors import (
    AudioQuotaError,
    FieldsInvalidError,
    QueueFullError,
    QueueQuotaError,
    RecordsQuotaError,
    StorageQuotaError,
    StoreFullError,
)
from shared.redis_client.connection import guarded
from shared.redis_client.memory import ADMITTING_SHARE, RedisMemory
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

OWNER_FULL_PAUSE_SECONDS = 15
"""The Retry-After of an owner who has reached the limit of queued jobs."""

NO_ROOM_PAUSE_SECONDS = 600
"""The Retry-After of an owner whose quota in storage or Redis is used up. Space becomes free when jobs are deleted or
expire, and that moment cannot be predicted."""


class RecordLimits(TypedDict):
    """Arguments of scripts that write a new record: bytes of Redis for records. 0 means no limit."""

    max_owner_record_bytes: int
    max_record_bytes: int


class JobLimits(RecordLimits):
    """Arguments of scripts that queue a job. 0 means no limit, but `max_queued` is always one."""

    max_queued: int
    max_owner_queued: int
    max_owner_audio_ms: int
    max_owner_stored_bytes: int


NO_RECORD_LIMITS: RecordLimits = {"max_owner_record_bytes": 0, "max_record_bytes": 0}


class Admission:
    """Gives the Lua scripts their limits, and raises an error if a script's answer is a refusal."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._redis = client
        self._memory = RedisMemory(client)
        self._scripts = Scripts(client, settings.redis_prefix)

    def job_limits(self) -> JobLimits:
        """Return the limits on new jobs. Raises StoreFullError if Redis is too full for new records."""
        settings = self._settings
        return {
            "max_queued": settings.max_queued_jobs,
            "max_owner_queued": settings.max_queued_jobs_per_owner,
            "max_owner_audio_ms": int(settings.max_audio_seconds_per_day * 1000),
            "max_owner_stored_bytes": settings.max_stored_bytes_per_owner,
            **self.record_limits(),
        }

    def record_limits(self) -> RecordLimits:
        """Return the limits on all new records. Raises StoreFullError if Redis is too full for new records."""
        self._memory.require_free_memory()
        max_bytes = self._memory.memory_use().max_bytes
        return {
            "max_owner_record_bytes": int(self._settings.max_redis_share_per_owner * max_bytes),
            "max_record_bytes": int(ADMITTING_SHARE * max_bytes),
        }

    def repetition_limit(self) -> int:
        """Return how many bytes of Redis an owner's records may take before Idempotency-Keys are no longer kept."""
        return int(self._settings.max_redis_share_per_owner * self._memory.memory_use().max_bytes)

    def require_record_room(self, owner: str) -> None:
        """Raise StoreFullError or RecordsQuotaError if a new record of this owner would be refused."""
        self.raise_if_refused(self._scripts.run("jobs/record_room", owner=owner, **self.record_limits()))

    def require_free_memory(self) -> None:
        """Raise StoreFullError if a new record of any owner would be refused."""
        self._memory.require_free_memory()

    def require_possible_chain(self, jobs: int) -> None:
        """Raise FieldsInvalidError if a chain has more jobs than its owner may have queued at all."""
        limit = self._settings.max_queued_jobs_per_owner
        if limit and jobs > limit:
            message = f"the chain has {jobs} jobs, and an owner may have {limit} queued jobs"
            raise FieldsInvalidError([{"field": "then", "message": message}])

    def raise_if_refused(self, answer: str, step_ms: str = "0", *_: str) -> None:
        """Raise QueueFullError, StoreFullError or a QuotaExceededError if the script's answer names a limit.

        `step_ms` comes with a full queue: the milliseconds until the next place becomes free.
        """
        if answer == "full":
            # Several clients wait for the next free place, so ask them to wait until a few places are free.
            pause = max(2, min(60, round(3 * int(step_ms) / 1000)))
            raise QueueFullError("The queue is full. Try again later.", pause)
        if answer == "owner_full":
            message = f"You have reached the limit of {self._settings.max_queued_jobs_per_owner} queued jobs."
            raise QueueQuotaError(message, OWNER_FULL_PAUSE_SECONDS)
        if answer == "memory_full":
            raise StoreFullError("The server has no memory for more jobs, batches or uploads. Try again later.")
        if answer == "no_room":
            message = (
                f"Your uploads, stems and batches would exceed the quota of "
                f"{self._settings.max_stored_bytes_per_owner:,} bytes. Delete some jobs or batches."
            )
            raise StorageQuotaError(message, NO_ROOM_PAUSE_SECONDS)
        if answer == "records_full":
            message = "You have reached the limit on stored records. Delete some jobs, batches or uploads."
            raise RecordsQuotaError(message, NO_ROOM_PAUSE_SECONDS)
        if answer == "audio_spent":
            seconds = f"{self._settings.max_audio_seconds_per_day:g} seconds"
            until_midnight = 86_400 - guarded(self._redis.time)[0] % 86_400
            message = f"Your quota of {seconds} of audio per day is used up. It is renewed at midnight UTC."
            raise AudioQuotaError(message, until_midnight)
