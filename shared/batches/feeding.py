"""Changes batches' records in Redis while their items are read, become jobs, and end.

Only the batch feeders of workers call this module (worker/batches/). Each change is one Lua script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis

from shared.batches.model import Batch
from shared.jobs.limits import NO_RECORD_LIMITS, Admission
from shared.redis_client.connection import guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings


class BatchFeeding:
    """The records of batches that are being processed. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._redis = client
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(client, settings.redis_prefix)
        self._retention_ms = settings.retention_ms
        self._admission = Admission(settings, client)

    def live_ids(self) -> list[str]:
        """Return the batches that still have background work."""
        key = f"{self._prefix}batches:live"
        return cast("list[str]", guarded(lambda: self._redis.zrange(key, 0, -1)))

    def lock(self, batch_id: str, holder: str, seconds: float) -> bool:
        """Take or renew the lock on a batch for some seconds, or release it (0); False if another holder has it."""
        return bool(self._scripts.run("batches/lock", batch_id=batch_id, token=holder, lease_ms=int(seconds * 1000)))

    def append_items(
        self,
        batch: Batch,
        *,
        cursor: str,
        letters: str,
        uploads: Sequence[str],
        is_last: bool,
        items_bytes: int = 0,
        schema: int = 1,
        marks: Sequence[str] = (),
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Add the items that were read after `batch.cursor`, and the marks of their export names.

        `items_bytes` is the size of their object; `schema` is the highest that the items need. Returns False if another
        feeder was faster. Raises RecordsQuotaError, StoreFullError.
        """
        answer = self._scripts.run(
            "batch_items/append",
            batch_id=batch.id,
            cursor_before=batch.cursor,
            cursor=cursor,
            letters=letters,
            items_bytes=items_bytes,
            schema=schema,
            is_last=is_last,
            error_json=json.dumps(error) if error else None,
            retention_ms=self._retention_ms,
            uploads=uploads,
            marks=marks,
            **(self._admission.record_limits() if letters else NO_RECORD_LIMITS),
        )
        self._admission.raise_if_refused(answer)
        return bool(answer == "ok")

    def taken_marks(self, batch: Batch, marks: Sequence[str]) -> list[bool] | None:
        """Return which marks belong to items before `batch.cursor`; None if another feeder has read further since."""
        is_there, *taken = self._scripts.run(
            "batch_items/taken_names", batch_id=batch.id, cursor=batch.cursor, marks=marks
        )
        return [bool(int(t)) for t in taken] if int(is_there) else None

    def next_numbers(self, batch_id: str, window: int) -> list[int]:
        """Return the next items to create jobs for, so that `window` jobs of the batch are queued or running."""
        return [int(n) for n in self._scripts.run("batch_items/choose_next", batch_id=batch_id, window=window)]

    def end_item(self, batch_id: str, number: int, result: str) -> None:
        """End a waiting item for which no job can be created."""
        self._scripts.run(
            "batch_items/end", batch_id=batch_id, number=number, result=result, retention_ms=self._retention_ms
        )

    def ended_numbers(self, batch_id: str, limit: int) -> list[int]:
        """Return items whose jobs have ended and still have records in Redis."""
        key = f"{self._prefix}batch:{batch_id}:ended"
        found = cast("list[str]", guarded(lambda: self._redis.srandmember(key, limit)))
        return sorted(int(n) for n in found)

    def compact(
        self,
        batch_id: str,
        number: int,
        *,
        job_version: int,
        result: str,
        letter: str,
        audio_seconds: float,
        stored_bytes: int,
        unneeded_bytes: int,
        upload_id: str | None,
        made_by: str,
    ) -> bool:
        """Replace an ended job's record by its item's result; False if the job changed in the meantime.

        `audio_seconds` and `stored_bytes` are the differences from the item's earlier result; `unneeded_bytes` is
        the size of outputs that the item no longer needs.
        """
        answer = self._scripts.run(
            "batch_items/compact_job",
            batch_id=batch_id,
            number=number,
            job_version=job_version,
            result=result,
            letter=letter,
            audio_ms=int(audio_seconds * 1000),
            stored_bytes_more=stored_bytes,
            unneeded_bytes=unneeded_bytes,
            upload_id=upload_id,
            made_by=made_by,
            retention_ms=self._retention_ms,
        )
        return bool(answer)

    def pending_result_numbers(self, batch_id: str) -> list[int]:
        """Return the items whose results are only in Redis."""
        key = f"{self._prefix}batch:{batch_id}:results"
        return sorted(int(n) for n in cast("list[str]", guarded(lambda: self._redis.hkeys(key))))

    def forget_stored_results(
        self, batch_id: str, chunk: int, *, before: str | None, version: str, results: Mapping[int, str]
    ) -> bool:
        """Delete results that are now in storage in this version; False if another version was first."""
        answer = self._scripts.run(
            "batch_items/results_stored",
            batch_id=batch_id,
            chunk=chunk,
            version_before=before,
            version=version,
            numbers=results.keys(),
            results=results.values(),
        )
        return bool(answer)

    def mark_idle(self, batch_id: str) -> bool:
        """Remove a batch from the live batches if it has no background work left."""
        return bool(self._scripts.run("batches/mark_idle", batch_id=batch_id))
