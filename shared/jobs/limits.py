"""How much is taken, in all and of one owner, and why something is not.

Owns the limits and the errors; the scripts that take something compare and count (`refusal` in lua/common.lua).
"""

from __future__ import annotations

import redis

from shared.errors import (
    AudioQuotaError,
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
"""When an owner whose places in line are taken may try again."""


NO_ROOM_PAUSE_SECONDS = 600
"""When an owner who has no room left, in storage or in Redis, may try again: room comes by deleting jobs, or when they
expire, and nobody can say when that is."""


class Admission:
    """The limits, as the scripts want them, and what their answers mean."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._redis = client
        self.max_queued_jobs = settings.max_queued_jobs
        self._memory = RedisMemory(client)
        self._scripts = Scripts(client, settings.redis_prefix)

    def job_limits(self) -> tuple[int, ...]:
        """Return an owner's limits: jobs that wait, ms of audio a day, bytes in storage; then `record_limits`."""
        settings = self._settings
        audio_ms = int(settings.max_audio_seconds_per_day * 1000)
        return (
            *(settings.max_queued_jobs_per_owner, audio_ms, settings.max_stored_bytes_per_owner),
            *self.record_limits(),
        )

    def record_limits(self) -> tuple[int, int]:
        """Return how many bytes of Redis records may take: an owner's, and all; 0: no limit.

        Raises StoreFullError if Redis is too full for anything new.
        """
        self._memory.demand_room()
        max_bytes = self._memory.filling().max_bytes
        return int(self._settings.max_redis_share_per_owner * max_bytes), int(ADMITTING_SHARE * max_bytes)

    def repetition_limit(self) -> int:
        """Return how many bytes of Redis an owner's records may take for another Idempotency-Key to be kept."""
        return int(self._settings.max_redis_share_per_owner * self._memory.filling().max_bytes)

    def demand_room(self, owner: str) -> None:
        """Raise StoreFullError or RecordsQuotaError if nothing new would be taken of an owner."""
        self.demand(self._scripts.run("jobs/record_room", owner, *self.record_limits()))

    def demand_memory(self) -> None:
        """Raise StoreFullError if nothing new would be taken of anybody."""
        self._memory.demand_room()

    def demand(self, answer: str, step_ms: str = "0", *_: str) -> None:
        """Raise QueueFullError, StoreFullError or a QuotaExceededError if a script answered with a limit.

        `step_ms` comes with a full queue: how soon the next place gets free.
        """
        if answer == "full":
            # Whoever comes back for the one place that gets free is not alone: not before a few have.
            pause = max(2, min(60, round(3 * int(step_ms) / 1000)))
            raise QueueFullError("As many jobs are waiting as this server takes. Try again later.", pause)
        if answer == "owner_full":
            message = f"You have {self._settings.max_queued_jobs_per_owner} jobs waiting, as many as you may."
            raise QueueQuotaError(message, OWNER_FULL_PAUSE_SECONDS)
        if answer == "memory_full":
            raise StoreFullError("Redis has no memory for more than the jobs, batches and uploads that there are.")
        if answer == "no_room":
            message = (
                f"Your uploads and stems take, or would take, more than {self._settings.max_stored_bytes_per_owner:,} "
                "bytes. Delete some jobs."
            )
            raise StorageQuotaError(message, NO_ROOM_PAUSE_SECONDS)
        if answer == "records_full":
            message = "Your jobs, batches, uploads and Idempotency-Keys take as much of Redis as they may. Delete some."
            raise RecordsQuotaError(message, NO_ROOM_PAUSE_SECONDS)
        if answer == "audio_spent":
            seconds = f"{self._settings.max_audio_seconds_per_day:g} seconds"
            until_midnight = 86_400 - guarded(self._redis.time)[0] % 86_400
            message = f"The {seconds} of audio that you may separate a day are used."
            raise AudioQuotaError(message, until_midnight)
