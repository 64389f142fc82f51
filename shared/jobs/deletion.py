"""Deletes what an ended job has in storage, after its record was deleted."""

from __future__ import annotations

from shared.jobs.store import Deletion, JobStore
from shared.storage.object_keys import job_prefix
from shared.storage.object_storage import ObjectStorage


def delete_job_objects(store: JobStore, storage: ObjectStorage, deletion: Deletion) -> None:
    """Delete the job's outputs and its own mixture, then its tombstone. It may be repeated.

    Raises StoreUnavailableError, StorageUnavailableError; the tombstone then remains for the garbage collector.
    """
    storage.delete_below(job_prefix(deletion.job_id))
    if deletion.source_key:
        storage.delete([deletion.source_key])
    store.deletion_done(deletion)
