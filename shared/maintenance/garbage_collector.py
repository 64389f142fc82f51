"""Garbage collection: deletes stored objects that no job needs, and jobs and batches whose retention period is over.

Objects of jobs without a record are deleted only if Redis and storage have the same `instance` id. So an empty Redis
does not cause the deletion of everything in storage.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import redis
import structlog

from shared.batches.actions import BatchActions
from shared.batches.model import is_batch_id
from shared.batches.store import BatchStore
from shared.errors import (
    BatchNotFoundError,
    BatchStateError,
    IllegalTransitionError,
    JobNotFoundError,
    SourceMissingError,
)
from shared.jobs.archive import FILENAME
from shared.jobs.deletion import delete_job_objects
from shared.jobs.model import Job, JobState
from shared.jobs.store import Deletion, JobStore, new_id
from shared.jobs.uploads import UploadStore
from shared.maintenance.batch_garbage import BatchGarbage
from shared.redis_client.connection import connect, guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings
from shared.storage.object_keys import split_output_key
from shared.storage.object_storage import ObjectStorage
from shared.storage.server_clock import storage_seconds

log = structlog.get_logger(__name__)

INSTANCE_KEY = "instance"

OBJECTS_AT_ONCE = 500
"""Objects whose records are read in one call. Raising it blocks Redis for longer."""

RECORDS_AT_ONCE = 100
"""Jobs, batches and deletions that are read in one call; a run continues until there are no more."""


@dataclass
class Collection:
    """The numbers of what one run deleted."""

    expired_jobs: int = 0
    expired_batches: int = 0
    deletions_finished: int = 0
    outputs: int = 0
    uploads: int = 0
    multipart_uploads: int = 0


class Collector:
    """Collects garbage. A turn in Redis lets one worker run at a time."""

    def __init__(self, settings: Settings, storage: ObjectStorage, client: redis.Redis | None = None) -> None:
        client = client or connect(settings)
        self._settings = settings
        self._storage = storage
        self._store = JobStore(settings, client)
        self._uploads = UploadStore(settings, client)
        self._redis = client
        self._scripts = Scripts(client, settings.redis_prefix)
        self._instance_key = f"{settings.redis_prefix}instance"
        self._batches = BatchStore(settings, client)
        self._changes = BatchActions(settings, client)
        self._batch_garbage = BatchGarbage(
            self._store, self._batches, self._changes, storage, settings.upload_abandoned_seconds
        )

    def collect(self, *, now: bool = False) -> Collection | None:
        """Collect once; None if it is not time yet or another worker is collecting.

        `now` ignores the turn, which only saves work: two collections at a time do no harm. Raises
        StoreUnavailableError, StorageUnavailableError, RecordTooNewError.
        """
        if not now and not self._take_turn():
            return None
        done = Collection()
        done.expired_batches = self._expire_batches()
        done.deletions_finished = self._finish_deletions()
        done.expired_jobs = self._expire_jobs()
        done.uploads = self._delete_abandoned_uploads()
        knows_storage = self.match_instances()
        done.outputs = self._delete_garbage_outputs(knows_storage)
        if knows_storage:
            done.outputs += self._batch_garbage.remove_stray()
            done.uploads += self._delete_unrecorded_uploads()
            age = self._settings.upload_abandoned_seconds
            done.multipart_uploads = self._storage.abort_uploads_begun_before(storage_seconds() - age)
        return done

    def match_instances(self) -> bool:
        """Return whether Redis and storage have the same instance id. If both are new, give them one.

        If only the storage has an id, Redis lost its data: run `stemqueue-admin rebuild`.
        """
        known = self._known_instance()
        try:
            found = b"".join(self._storage.open(INSTANCE_KEY).chunks()).decode()
        except SourceMissingError:
            found = None
        if found is None:
            if known is None:
                known = new_id()
                self._set_instance(known)
            self._storage.put_bytes(known.encode(), INSTANCE_KEY, "text/plain")
            return True
        if known != found:
            log.error("redis and storage do not match: run stemqueue-admin rebuild", storage=found, redis=known)
        return known == found

    def adopt_storage_instance(self) -> None:
        """Give Redis the storage's instance id, after the records were rebuilt."""
        try:
            found = b"".join(self._storage.open(INSTANCE_KEY).chunks()).decode()
        except SourceMissingError:
            self.match_instances()
        else:
            self._set_instance(found)

    def remove(self, deletion: Deletion) -> None:
        """Delete the objects of a job or batch whose record was deleted."""
        if is_batch_id(deletion.job_id):
            self._batch_garbage.remove(deletion.job_id)
            self._store.deletion_done(deletion)
        else:
            delete_job_objects(self._store, self._storage, deletion)

    def _take_turn(self) -> bool:
        """Return whether it is time to collect and no other worker has begun. The turn expires by itself."""
        every_ms = max(1, int(self._settings.collect_seconds * 1000))
        return bool(self._scripts.run("maintenance/collector_turn", turn_ms=every_ms))

    def _known_instance(self) -> str | None:
        return cast("str | None", guarded(lambda: self._redis.get(self._instance_key)))

    def _set_instance(self, instance: str) -> None:
        guarded(lambda: self._redis.set(self._instance_key, instance))

    def _finish_deletions(self) -> int:
        finished = 0
        while pending := self._store.deletions_pending(RECORDS_AT_ONCE):
            for deletion in pending:
                self.remove(deletion)
            finished += len(pending)
        return finished

    def _expire_jobs(self) -> int:
        return _remove_all(self._store.expired_ids, self._expire_job)

    def _expire_job(self, job_id: str) -> bool:
        try:
            self.remove(self._store.delete(job_id))
        except (JobNotFoundError, IllegalTransitionError):
            # It was deleted or retried after it was listed, or its expiry has been put off because it is read.
            return False
        return True

    def _expire_batches(self) -> int:
        return _remove_all(self._batches.expired_ids, self._expire_batch)

    def _expire_batch(self, batch_id: str) -> bool:
        try:
            # This leaves a pending deletion, which is finished next.
            self._changes.delete(batch_id)
        except (BatchNotFoundError, BatchStateError):
            # As with a job.
            return False
        return True

    def _delete_abandoned_uploads(self) -> int:
        removed = 0
        while keys := self._uploads.take_abandoned(self._settings.upload_abandoned_seconds):
            self._storage.delete(keys)
            removed += len(keys)
        return removed

    def _delete_garbage_outputs(self, knows_storage: bool) -> int:
        removed = 0
        for objects in _in_groups(self._storage.list_keys("jobs/")):
            ids = {key.split("/")[1] for key, _ in objects}
            jobs = {j.id: j for j in self._store.read_jobs(sorted(ids))}
            kept = self._batch_garbage.kept_fences([i for i in ids if i not in jobs or jobs[i].batch_id])
            garbage = [
                key
                for key, changed_at in objects
                if not _is_kept(key, kept) and self._is_garbage(key, changed_at, jobs, knows_storage=knows_storage)
            ]
            self._storage.delete(garbage)
            removed += len(garbage)
        return removed

    def _is_garbage(self, key: str, changed_at: float, jobs: dict[str, Job], *, knows_storage: bool) -> bool:
        job_id, fence, filename = split_output_key(key)
        job = jobs.get(job_id)
        if job is None:
            # Perhaps the last upload of a stalled worker, after the job was deleted. Delete it when it is old.
            return knows_storage and changed_at < storage_seconds() - self._settings.upload_abandoned_seconds
        if fence == str(job.fence) and (job.state is JobState.RUNNING or filename == FILENAME):
            return False
        return key not in {o.key for o in job.outputs}

    def _delete_unrecorded_uploads(self) -> int:
        removed = 0
        before = storage_seconds() - self._settings.upload_abandoned_seconds
        for objects in _in_groups(self._storage.list_keys("uploads/")):
            old = [key for key, changed_at in objects if changed_at < before]
            known = self._uploads.recorded_ids([key.removeprefix("uploads/") for key in old])
            garbage = [key for key in old if key.removeprefix("uploads/") not in known]
            self._storage.delete(garbage)
            removed += len(garbage)
        return removed


def _remove_all(list_expired: Callable[[int], list[str]], remove: Callable[[str], bool]) -> int:
    """Remove what has expired; return how many. What cannot be removed is listed again, or not at all."""
    removed, listed_before = 0, list[str]()
    while (listed := list_expired(RECORDS_AT_ONCE)) and listed != listed_before:
        removed += sum(map(remove, listed))
        listed_before = listed
    return removed


def _is_kept(key: str, kept: Mapping[str, set[int]]) -> bool:
    job_id, fence, _ = split_output_key(key)
    return fence.isdigit() and int(fence) in kept.get(job_id, set())


def _in_groups(listing: Iterator[tuple[str, int, float]]) -> Iterator[list[tuple[str, float]]]:
    """Yield keys and modification times, OBJECTS_AT_ONCE at a time."""
    while objects := [(key, changed_at) for key, _, changed_at in itertools.islice(listing, OBJECTS_AT_ONCE)]:
        yield objects
