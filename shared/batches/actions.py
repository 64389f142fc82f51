"""Changes to all of a batch: its cancel, the retry of what failed, a rerun, and its removal.

Owns that Redis stands still for milliseconds at a time, however large the batch: a change is written down first, and
then goes through the items part by part, each one script. Whoever is killed between two leaves the rest to the feeders.
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
"""Items that one step of a change to a whole batch looks at, some milliseconds for which Redis answers nobody else."""

JOBS_AT_ONCE = 50
"""Jobs that one such step ends or forgets, which takes as long."""


class BatchChanges:
    """Every method may raise StoreUnavailableError."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis | None = None,
        *,
        letters_at_once: int = LETTERS_AT_ONCE,
        jobs_at_once: int = JOBS_AT_ONCE,
    ) -> None:
        self._scripts = Scripts(client or connect(settings), settings.redis_prefix)
        self._retention_ms = int(settings.retention_days * 86_400_000)
        self._letters_at_once, self._jobs_at_once = letters_at_once, jobs_at_once

    def cancel(self, batch_id: str) -> Batch:
        """Cancel what waits, what is in line and what runs. Raises BatchNotFoundError, BatchStateError."""
        before, record = self._scripts.run("batches/begin_cancel", batch_id)
        # One that somebody died over is as good as begun now.
        if not _is_canceling(record):
            _demand(before, {BatchState.READING, BatchState.RUNNING}, "canceled")
        return self.finish_change(batch_id)

    def retry_failed(self, batch_id: str) -> Batch:
        """Have items that failed or were canceled done again. Raises BatchNotFoundError, BatchStateError."""
        self._begin_again(batch_id, "")
        return self.finish_change(batch_id)

    def rerun(self, batch_id: str, versions: Mapping[str, str]) -> Batch:
        """Have items done again that other versions made than these, by engine; whoever feeds looks for them.

        Raises BatchNotFoundError, BatchStateError when it is known that there are none.
        """
        return self._begin_again(batch_id, json.dumps(versions, sort_keys=True))

    def finish_change(self, batch_id: str) -> Batch:
        """Go through the rest of a batch's items with what is to become of all of them, a part at a time.

        Some hundred parts at the most; whoever is killed between two leaves the rest to the next that feeds.
        Raises BatchNotFoundError.
        """
        more = True
        while more:
            told, record = self._scripts.run(
                "batches/advance_change", batch_id, self._letters_at_once, self._jobs_at_once, self._retention_ms
            )
            more = bool(int(told))
        if not record:
            raise BatchNotFoundError("There is no such batch.")
        return batch_from_flat(batch_id, record)

    def delete(self, batch_id: str) -> None:
        """Forget an ended batch; the collector removes its objects. Raises BatchNotFoundError, BatchStateError."""
        before = self._scripts.run("batches/delete", batch_id)
        if before == "canceling":
            self.finish_change(batch_id)
            before = self._scripts.run("batches/delete", batch_id)
        _demand(before, {BatchState.ENDED, BatchState.CANCELED}, "deleted")
        self.forget_jobs(batch_id)

    def forget_jobs(self, batch_id: str) -> None:
        """Forget the records of ended jobs that a deleted batch has left, a part at a time."""
        while int(self._scripts.run("batches/forget_jobs", batch_id, self._jobs_at_once)):
            pass

    def rerun_on(self, batch: Batch, *, next_number: int, outdated: Mapping[int, str]) -> bool:
        """Have items done again, each with what it was made by, and look on at another; False: somebody else did."""
        assert batch.rerun  # noqa: S101 - asked by the caller
        flat = [part for number, made in sorted(outdated.items()) for part in (number, made)]
        told = (batch.rerun.versions_json, batch.rerun.next_number, next_number)
        return bool(self._scripts.run("batches/advance_rerun", batch.id, *told, self._retention_ms, *flat))

    def _begin_again(self, batch_id: str, versions_json: str) -> Batch:
        begun, record = self._scripts.run("batches/begin_retry_or_rerun", batch_id, versions_json)
        if begun == "canceling":
            self.finish_change(batch_id)
            begun, record = self._scripts.run("batches/begin_retry_or_rerun", batch_id, versions_json)
        if not record:
            raise BatchNotFoundError("There is no such batch.")
        if begun != "yes":
            raise BatchStateError("No item of the batch is to be done again.")
        return batch_from_flat(batch_id, record)


def _is_canceling(flat: Sequence[str]) -> bool:
    return "canceling" in flat[::2]


def _demand(before: str, allowed: set[BatchState], done: str) -> None:
    if not before:
        raise BatchNotFoundError("There is no such batch.")
    if before not in allowed:
        raise BatchStateError(f"A batch that is {before} cannot be {done}.")
