"""Creates, reads and restores batches' records in Redis.

A record is a hash, a letter for each item, and the results that are not in storage yet. Each change is one Lua script;
the scripts that change a job's state also change the counts of its batch. feeding.py changes the records while a batch
is processed, actions.py changes whole batches for clients.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import redis

from shared.batches.feeding import BatchFeeding
from shared.batches.model import Batch, BatchRequest, ItemState, batch_of
from shared.errors import BatchNotFoundError, SourceMissingError
from shared.fifo_cache import FifoCache
from shared.jobs.limits import Admission
from shared.redis_client.connection import connect, guarded
from shared.redis_client.pagination import ids_after
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

CACHED_BATCHES = 1_000
"""Batches that a process caches, at about 2 kB each."""


class BatchStore:
    """The batches' records. `feeding` changes them while their items are read and processed.

    Every method may raise StoreUnavailableError; those that return a batch, RecordTooNewError.
    """

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._known = FifoCache[str, Batch](CACHED_BATCHES)
        self._admission = Admission(settings, self._redis)
        self._max_stored_bytes = settings.max_stored_bytes_per_owner
        self.feeding = BatchFeeding(settings, self._redis)

    def require_record_room(self, owner: str) -> None:
        """Raise RecordsQuotaError or StoreFullError if a new batch of the owner would be refused."""
        self._admission.require_record_room(owner)

    def create(self, batch_id: str, request: BatchRequest) -> Batch:
        """Accept a batch. If a batch with this id was accepted before, return that batch.

        Raises SourceMissingError if the upload with its manifest was deleted in the meantime; RecordsQuotaError,
        StorageQuotaError, StoreFullError.
        """
        answer, *record = self._scripts.run(
            "batches/create",
            batch_id=batch_id,
            schema=request.schema,
            owner=request.owner,
            request=request.to_json(),
            upload_id=request.manifest.upload_id,
            exports=request.export is not None,
            list_bytes=request.manifest.list_bytes,
            max_owner_stored_bytes=self._max_stored_bytes,
            **self._admission.record_limits(),
        )
        self._admission.raise_if_refused(answer)
        if answer == "upload_gone":
            raise SourceMissingError("The upload no longer exists. Upload the manifest again.")
        return batch_from_flat(batch_id, record[0])

    def read_batch(self, batch_id: str) -> Batch:
        """Return the batch, in one call to Redis. Raises BatchNotFoundError.

        If this process has cached the record's present version, Redis does not send the record again.
        """
        known = self._known.get(batch_id)
        record = self._scripts.run("batches/read", batch_id=batch_id, known_version=known and known.version)
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
            raise BatchNotFoundError("starting_after names a batch that no longer exists.")
        return found

    def read_batches(self, batch_ids: Iterable[str]) -> list[Batch]:
        """Return the batches that still exist, in the given order."""
        ids = list(batch_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for batch_id in ids:
            pipeline.hgetall(f"{self._prefix}batch:{batch_id}")
        records = cast("list[Mapping[str, str]]", guarded(pipeline.execute))
        return [Batch.from_record(i, r) for i, r in zip(ids, records, strict=True) if r]

    def read_letters(self, batch_id: str, numbers: range) -> str:
        """Return the letters of a range of items; fewer if the batch has fewer."""
        key = f"{self._prefix}batch:{batch_id}:states"
        return cast(str, guarded(lambda: self._redis.getrange(key, numbers.start - 1, numbers.stop - 2)))

    def read_pending_results(self, batch_id: str, numbers: Sequence[int]) -> dict[int, str]:
        """Return the items' results that are not in storage yet."""
        if not numbers:
            return {}
        key, fields = f"{self._prefix}batch:{batch_id}:results", [str(n) for n in numbers]
        found = cast("list[str | None]", guarded(lambda: self._redis.hmget(key, fields)))
        return {n: text for n, text in zip(numbers, found, strict=True) if text is not None}

    def chunk_version(self, batch_id: str, chunk: int) -> str | None:
        """Return the valid version of a chunk's stored results; None if there is none yet."""
        key = f"{self._prefix}batch:{batch_id}:chunks"
        return cast("str | None", guarded(lambda: self._redis.hget(key, str(chunk))))

    def chunk_versions(self, batch_id: str) -> dict[str, str] | None:
        """Return the valid version of each chunk's stored results; None if there is no such batch."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.exists(f"{self._prefix}batch:{batch_id}")
        pipeline.hgetall(f"{self._prefix}batch:{batch_id}:chunks")
        exists, versions = guarded(pipeline.execute)
        return cast("dict[str, str]", versions) if exists else None

    def holds_job(self, job_id: str) -> bool:
        """Return whether a job belongs to an existing batch, according to its id."""
        batch_id, number = batch_of(job_id)
        return number > 0 and bool(self.read_letters(batch_id, range(number, number + 1)))

    # The methods below serve garbage collection and the restoring of lost records.

    def expired_ids(self, limit: int) -> list[str]:
        """Return ended batches whose retention period is over."""
        now_ms = guarded(self._redis.time)[0] * 1000
        key = f"{self._prefix}batches:settled"
        return cast("list[str]", guarded(lambda: self._redis.zrangebyscore(key, "-inf", now_ms, 0, limit)))

    def release_uploads(self, batch_id: str, uploads: Sequence[str]) -> None:
        """Record that a batch that is being deleted no longer needs these uploads."""
        if uploads:
            self._scripts.run("uploads/release_from_batch", batch_id=batch_id, uploads=uploads)

    def put_result(self, batch_id: str, number: int, result: str) -> None:
        """Store an item's result for a batch that is being restored."""
        guarded(lambda: self._redis.hset(f"{self._prefix}batch:{batch_id}:results", str(number), result))

    def put_versions(self, batch_id: str, versions: Mapping[int, str]) -> None:
        """Store the versions of chunks' results for a batch that is being restored."""
        flat = [str(part) for chunk in versions.items() for part in chunk]
        if flat:
            guarded(lambda: self._redis.hset(f"{self._prefix}batch:{batch_id}:chunks", items=flat))

    def hold_uploads(self, batch_id: str, uploads: Sequence[str]) -> None:
        """Record that a batch that is being restored needs these uploads."""
        if uploads:
            self._scripts.run("uploads/hold_for_batch", batch_id=batch_id, uploads=uploads)

    def put_marks(self, batch_id: str, marks: Sequence[str]) -> None:
        """Store the marks of export names for a batch that is being restored."""
        if marks:
            guarded(lambda: self._redis.sadd(f"{self._prefix}batch:{batch_id}:marks", *marks))

    def restore(
        self,
        batch_id: str,
        request: BatchRequest,
        *,
        schema: int,
        letters: str,
        cursor: str,
        audio_seconds: float,
        stored_bytes: int,
        fence: int,
        counts: Mapping[ItemState, int],
        made: Mapping[str, int],
    ) -> bool:
        """Restore a batch's record; False if there is a record already."""
        answer = self._scripts.run(
            "batches/restore",
            batch_id=batch_id,
            schema=schema,
            owner=request.owner,
            request=request.to_json(),
            letters=letters,
            cursor=cursor,
            audio_ms=int(audio_seconds * 1000),
            output_bytes=stored_bytes,
            exports=request.export is not None,
            fence=fence,
            counts=json.dumps(counts),
            made=json.dumps(made),
        )
        return bool(answer)


def batch_from_flat(batch_id: str, flat: Sequence[str]) -> Batch:
    """Return the batch of a record that a script returned as a flat list."""
    return Batch.from_record(batch_id, dict(zip(flat[::2], flat[1::2], strict=True)))
