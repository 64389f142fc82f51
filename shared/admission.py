"""How many jobs are taken, in all and of one owner, and why one is not.

Owns the limits and the errors; the scripts that put jobs in line compare and count (lua/submit.lua, lua/retry.lua).
"""

from __future__ import annotations

import redis

from shared.errors import AudioQuotaError, QueueFullError, QueueQuotaError
from shared.redis_connection import guarded
from shared.settings import Settings

OWNER_FULL_PAUSE_SECONDS = 15
"""When an owner whose places in line are taken may try again."""


class Admission:
    """The limits, as the scripts want them, and what their answers mean."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._redis = client
        self.max_queued_jobs = settings.max_queued_jobs
        self.owners_limits = (settings.max_queued_jobs_per_owner, int(settings.max_audio_seconds_per_day * 1000))

    def demand(self, answer: str, step_ms: str = "0", *_: str) -> None:
        """Raise QueueFullError, QueueQuotaError or AudioQuotaError if a script answered with a limit.

        `step_ms` comes with a full queue: how soon the next place gets free.
        """
        if answer == "full":
            # Whoever comes back for the one place that gets free is not alone: not before a few have.
            pause = max(2, min(60, round(3 * int(step_ms) / 1000)))
            raise QueueFullError("As many jobs are waiting as this server takes. Try again later.", pause)
        if answer == "owner_full":
            message = f"You have {self._settings.max_queued_jobs_per_owner} jobs waiting, as many as you may."
            raise QueueQuotaError(message, OWNER_FULL_PAUSE_SECONDS)
        if answer == "audio_spent":
            seconds = f"{self._settings.max_audio_seconds_per_day:g} seconds"
            until_midnight = 86_400 - guarded(self._redis.time)[0] % 86_400
            message = f"The {seconds} of audio that you may separate a day are used."
            raise AudioQuotaError(message, until_midnight)
