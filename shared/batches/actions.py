"""Cancels, retries, reruns and deletes whole batches.

A change is recorded first and then applied to the items in parts, so each script blocks Redis only for milliseconds,
however large the batch is. If a process dies between two parts, the batch feeders apply the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import redis

from shared.batches.model import Batch, BatchState
from shared.batches.store import batch_from_flat
from shared.errors import BatchNotFoundError, BatchStateError
from shared.redis_client.connection import connect
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

LETTERS_AT_ONCE = 100_000
"""Items that one part of a change examines. Raising it blocks Redis for longer."""

JOBS_AT_ONCE = 50
"""Jobs that one part ends or deletes; this takes equally long."""


class BatchActions:
    """Changes to whole batches. Every method may raise StoreUnavailableError."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis | None = None,
        *,
        letters_at_once: int = LETTERS_AT_ONCE,
        jobs_at_once: int = JOBS_AT_ONCE,
    ) -> None:
        self._scripts = Scripts(client or connect(settings), settings.redis_prefix)
        self._retention_ms = settings.retention_ms
        self._letters_at_once, self._jobs_at_once = letters_at_once, jobs_at_once

    def cancel(self, batch_id: str) -> Batch:
        """Cancel all items that wait, are queued or run. Raises BatchNotFoundError, BatchStateError."""
        before, record = self._scripts.run("batches/begin_cancel", batch_id=batch_id)
        # A cancel that another process began and did not finish is finished here.
        if not _is_canceling(record):
            _check_state(before, {BatchState.READING, BatchState.RUNNING}, "canceled")
        return self.finish_change(batch_id)

    def retry_failed(self, batch_id: str) -> Batch:
        """Run failed and canceled items again. Raises BatchNotFoundError, BatchStateError."""
        self._begin_retry_or_rerun(batch_id, "")
        return self.finish_change(batch_id)

    def rerun(self, batch_id: str, versions: Mapping[str, str]) -> Batch:
        """Run items again that were made by other versions than these, by engine. The batch feeders find the items.

        Raises BatchNotFoundError; BatchStateError if there are no such items.
        """
        return self._begin_retry_or_rerun(batch_id, json.dumps(versions, sort_keys=True))

    def finish_change(self, batch_id: str) -> Batch:
        """Apply the batch's recorded change to the rest of its items, in up to some hundred parts.

        Raises BatchNotFoundError.
        """
        more = True
        while more:
            told, record = self._scripts.run(
                "batches/advance_change",
                batch_id=batch_id,
                letters_at_once=self._letters_at_once,
                jobs_at_once=self._jobs_at_once,
                retention_ms=self._retention_ms,
            )
            more = bool(int(told))
        if not record:
            raise BatchNotFoundError("There is no such batch.")
        return batch_from_flat(batch_id, record)

    def delete(self, batch_id: str) -> None:
        """Delete an ended batch's record; garbage collection deletes its objects.

        Raises BatchNotFoundError, BatchStateError.
        """
        before = self._scripts.run("batches/delete", batch_id=batch_id)
        if before == "canceling":
            self.finish_change(batch_id)
            before = self._scripts.run("batches/delete", batch_id=batch_id)
        _check_state(before, {BatchState.ENDED, BatchState.CANCELED}, "deleted")
        self.forget_jobs(batch_id)

    def forget_jobs(self, batch_id: str) -> None:
        """Delete the records of a deleted batch's ended jobs, in parts."""
        while int(self._scripts.run("batches/forget_jobs", batch_id=batch_id, max_jobs=self._jobs_at_once)):
            pass

    def advance_rerun(self, batch: Batch, *, next_number: int, outdated: Mapping[int, str]) -> bool:
        """Run outdated items again and continue the rerun at `next_number`.

        `outdated` gives, for each item, the engine and version that made it. Returns False if another process was
        faster.
        """
        assert batch.rerun  # noqa: S101 - the caller checks it
        numbers = sorted(outdated)
        return bool(
            self._scripts.run(
                "batches/advance_rerun",
                batch_id=batch.id,
                versions=batch.rerun.versions_json,
                first_number=batch.rerun.next_number,
                next_number=next_number,
                retention_ms=self._retention_ms,
                numbers=numbers,
                made_by=[outdated[number] for number in numbers],
            )
        )

    def _begin_retry_or_rerun(self, batch_id: str, versions_json: str) -> Batch:
        begun, record = self._scripts.run("batches/begin_retry_or_rerun", batch_id=batch_id, versions=versions_json)
        if begun == "canceling":
            self.finish_change(batch_id)
            begun, record = self._scripts.run("batches/begin_retry_or_rerun", batch_id=batch_id, versions=versions_json)
        if not record:
            raise BatchNotFoundError("There is no such batch.")
        if begun == "read":
            raise BatchStateError("Other jobs still read outputs of this batch; it can be rerun when they have ended.")
        if begun != "yes":
            raise BatchStateError("The batch has no item to run again.")
        return batch_from_flat(batch_id, record)


def _is_canceling(flat: Sequence[str]) -> bool:
    return "canceling" in flat[::2]


def _check_state(before: str, allowed: set[BatchState], done: str) -> None:
    if not before:
        raise BatchNotFoundError("There is no such batch.")
    if before == "read":
        raise BatchStateError(f"Other jobs still read outputs of this batch; it can be {done} when they have ended.")
    if before not in allowed:
        raise BatchStateError(f"A batch that is {before} cannot be {done}.")
