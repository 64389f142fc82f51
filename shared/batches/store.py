"""Batches' records in Redis: one hash each, a letter for each item, and results until they are in storage.

Each change is one Lua script. Jobs of items change their batch's counts in the scripts that move them (store.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import redis

from shared.batches.model import Batch, BatchRequest, ItemState, batch_of
from shared.errors import BatchNotFoundError, SourceMissingError
from shared.fifo_cache import FifoCache
from shared.jobs.limits import Admission
from shared.redis_client.connection import connect, guarded
from shared.redis_client.pagination import ids_after
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

REMEMBERED = 1_000
"""Batches that a process remembers as it read them, some 2 kB each."""


class BatchStore:
    """The records. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._known = FifoCache[str, Batch](REMEMBERED)
        self._retention_ms = int(settings.retention_days * 86_400_000)
        self._admission = Admission(settings, self._redis)

    # Clients

    def demand_room(self, owner: str) -> None:
        """Raise RecordsQuotaError or StoreFullError if a batch of the owner's would be refused."""
        self._admission.demand_room(owner)

    def create(self, batch_id: str, request: BatchRequest) -> Batch:
        """Accept a batch; an id that was accepted before is the same batch again.

        Raises SourceMissingError when the upload that holds its manifest was removed meanwhile; RecordsQuotaError,
        StoreFullError.
        """
        answer, *record = self._scripts.run(
            "batches/create",
            batch_id,
            request.owner,
            request.to_json(),
            request.manifest.upload_id,
            int(bool(request.export)),
            *self._admission.record_limits(),
        )
        self._admission.demand(answer)
        if answer == "upload_gone":
            raise SourceMissingError("That upload is no longer there.")
        return batch_from_flat(batch_id, record[0])

    def read(self, batch_id: str) -> Batch:
        """Return the batch as it stands; one call to Redis. Raises BatchNotFoundError.

        Redis leaves out a record that this process knows in its present version.
        """
        known = self._known.get(batch_id)
        record = self._scripts.run("batches/read", batch_id, known and known.version)
        if record is None:
            self._known.forget(batch_id)
            raise BatchNotFoundError("There is no such batch.")
        if record or known is None:
            known = Batch.from_record(batch_id, json.loads(record))
            self._known.put(batch_id, known)
        return known

    def list_ids(self, owner: str | None, *, limit: int, before: str | None = None) -> tuple[list[str], bool]:
        """Return ids newest first, after the cursor `before`, and whether there are more. Raises BatchNotFoundError."""
        index = f"{self._prefix}batches:{owner}" if owner else f"{self._prefix}batches"
        found = ids_after(self._redis, index, before, limit)
        if found is None:
            raise BatchNotFoundError("The batch to start after is not there any more.")
        return found

    def read_many(self, batch_ids: Iterable[str]) -> list[Batch]:
        """Return the batches that are still there, in the given order."""
        ids = list(batch_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for batch_id in ids:
            pipeline.hgetall(f"{self._prefix}batch:{batch_id}")
        records = cast("list[Mapping[str, str]]", guarded(pipeline.execute))
        return [Batch.from_record(i, r) for i, r in zip(ids, records, strict=True) if r]

    def letters(self, batch_id: str, numbers: range) -> str:
        """Return the letters of a run of items; fewer where the batch has fewer."""
        key = f"{self._prefix}batch:{batch_id}:states"
        return cast(str, guarded(lambda: self._redis.getrange(key, numbers.start - 1, numbers.stop - 2)))

    def results(self, batch_id: str, numbers: Sequence[int]) -> dict[int, str]:
        """Return the results of items that are not in storage yet."""
        if not numbers:
            return {}
        key, fields = f"{self._prefix}batch:{batch_id}:results", [str(n) for n in numbers]
        found = cast("list[str | None]", guarded(lambda: self._redis.hmget(key, fields)))
        return {n: text for n, text in zip(numbers, found, strict=True) if text is not None}

    def chunk_version(self, batch_id: str, chunk: int) -> str | None:
        """Return which version of a chunk's results in storage counts; None: there is none yet."""
        key = f"{self._prefix}batch:{batch_id}:chunks"
        return cast("str | None", guarded(lambda: self._redis.hget(key, str(chunk))))

    def chunk_versions(self, batch_id: str) -> dict[str, str] | None:
        """Return which version of each chunk's results counts; None when there is no such batch."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.exists(f"{self._prefix}batch:{batch_id}")
        pipeline.hgetall(f"{self._prefix}batch:{batch_id}:chunks")
        exists, versions = guarded(pipeline.execute)
        return cast("dict[str, str]", versions) if exists else None

    def holds_job(self, job_id: str) -> bool:
        """Return whether a job is that of a batch's item, by its id."""
        batch_id, number = batch_of(job_id)
        return number > 0 and bool(self.letters(batch_id, range(number, number + 1)))

    # Whoever feeds

    def live_ids(self) -> list[str]:
        """Return the batches that somebody has to work on."""
        key = f"{self._prefix}batches:live"
        return cast("list[str]", guarded(lambda: self._redis.zrange(key, 0, -1)))

    def hold(self, batch_id: str, holder: str, seconds: float) -> bool:
        """Take or keep the lock on a batch for a while, or (0) let it go; False when another holds it."""
        return bool(self._scripts.run("batches/lock", batch_id, holder, int(seconds * 1000)))

    def read_on(
        self,
        batch: Batch,
        *,
        cursor: str,
        letters: str,
        uploads: Sequence[str],
        is_last: bool,
        marks: Sequence[str] = (),
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Take over what was read after `batch.cursor`, and marks of copies' names; False: somebody else was faster.

        Raises RecordsQuotaError, StoreFullError.
        """
        answer = self._scripts.run(
            "batches/append_items",
            batch.id,
            batch.cursor,
            cursor,
            letters,
            int(is_last),
            json.dumps(error) if error else None,
            self._retention_ms,
            *(self._admission.record_limits() if letters else (0, 0)),
            len(uploads),
            *uploads,
            *marks,
        )
        self._admission.demand(answer)
        return bool(answer == "ok")

    def marks_taken(self, batch: Batch, marks: Sequence[str]) -> list[bool] | None:
        """Return which marks stand for names that were given before `batch.cursor`; None when others read on since."""
        is_there, *taken = self._scripts.run("batches/taken_names", batch.id, batch.cursor, *marks)
        return [bool(int(t)) for t in taken] if int(is_there) else None

    def next_numbers(self, batch_id: str, window: int) -> list[int]:
        """Return the items whose turn is near: as many as keep `window` of the batch's jobs in line or running."""
        return [int(n) for n in self._scripts.run("batches/next_items", batch_id, window)]

    def end_item(self, batch_id: str, number: int, result: str) -> None:
        """End a waiting item that no job can be made of."""
        self._scripts.run("batches/end_item", batch_id, number, result, self._retention_ms)

    def ended_numbers(self, batch_id: str, limit: int) -> list[int]:
        """Return items whose job has ended and whose record is still in Redis."""
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
        """Exchange an ended job's record for its item's result; False when the job changed meanwhile.

        Audio and bytes are what the item has more than before, `unneeded_bytes` those of outputs that it has no more.
        """
        answer = self._scripts.run(
            "batches/compact_job",
            batch_id,
            number,
            job_version,
            result,
            letter,
            int(audio_seconds * 1000),
            stored_bytes,
            unneeded_bytes,
            upload_id,
            made_by,
            self._retention_ms,
        )
        return bool(answer)

    def pending_results(self, batch_id: str) -> list[int]:
        """Return the items whose results are not in storage yet."""
        key = f"{self._prefix}batch:{batch_id}:results"
        return sorted(int(n) for n in cast("list[str]", guarded(lambda: self._redis.hkeys(key))))

    def flush(self, batch_id: str, chunk: int, *, before: str | None, version: str, results: Mapping[int, str]) -> bool:
        """Forget results that are in storage, in this version; False when another version came first."""
        flat = [part for number, result in results.items() for part in (number, result)]
        return bool(self._scripts.run("batches/results_stored", batch_id, chunk, before, version, *flat))

    def rest(self, batch_id: str) -> bool:
        """Let a batch be if nothing is left to do for it."""
        return bool(self._scripts.run("batches/mark_idle", batch_id))

    # Collection

    def expired_ids(self, limit: int) -> list[str]:
        """Return ended batches that are past their retention."""
        now_ms = guarded(self._redis.time)[0] * 1000
        key = f"{self._prefix}batches:settled"
        return cast("list[str]", guarded(lambda: self._redis.zrangebyscore(key, "-inf", now_ms, 0, limit)))

    def let_go(self, batch_id: str, uploads: Sequence[str]) -> None:
        """Say that a batch which goes needs these uploads no longer."""
        if uploads:
            self._scripts.run("batches/release_uploads", batch_id, *uploads)

    def put_result(self, batch_id: str, number: int, result: str) -> None:
        """Give a batch that is about to be restored the result of an item."""
        guarded(lambda: self._redis.hset(f"{self._prefix}batch:{batch_id}:results", str(number), result))

    def put_versions(self, batch_id: str, versions: Mapping[int, str]) -> None:
        """Give a batch that is about to be restored the versions of chunks' results."""
        flat = [str(part) for chunk in versions.items() for part in chunk]
        if flat:
            guarded(lambda: self._redis.hset(f"{self._prefix}batch:{batch_id}:chunks", items=flat))

    def hold_uploads(self, batch_id: str, uploads: Sequence[str]) -> None:
        """Say that a batch which is about to be restored needs these uploads."""
        if uploads:
            self._scripts.run("batches/hold_uploads", batch_id, *uploads)

    def put_marks(self, batch_id: str, marks: Sequence[str]) -> None:
        """Give a batch that is about to be restored the marks of names that its items have."""
        if marks:
            guarded(lambda: self._redis.sadd(f"{self._prefix}batch:{batch_id}:marks", *marks))

    def restore(
        self,
        batch_id: str,
        request: BatchRequest,
        *,
        letters: str,
        cursor: str,
        audio_seconds: float,
        stored_bytes: int,
        fence: int,
        counts: Mapping[ItemState, int],
        made: Mapping[str, int],
    ) -> bool:
        """Put a batch's record back; False when there is a record already."""
        answer = self._scripts.run(
            "batches/restore",
            batch_id,
            request.owner,
            request.to_json(),
            letters,
            cursor,
            int(audio_seconds * 1000),
            stored_bytes,
            int(bool(request.export)),
            fence,
            json.dumps(counts),
            json.dumps(made),
        )
        return bool(answer)


def batch_from_flat(batch_id: str, flat: Sequence[str]) -> Batch:
    """Return the batch of a record as a script tells it, a flat list."""
    return Batch.from_record(batch_id, dict(zip(flat[::2], flat[1::2], strict=True)))
