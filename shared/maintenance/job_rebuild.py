"""Restores the records of ended jobs from their documents in storage, after Redis was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared.errors import SourceMissingError
from shared.jobs.archive import FILENAME, read_document
from shared.jobs.store import JobStore
from shared.storage.object_keys import split_output_key
from shared.storage.object_storage import ObjectStorage


def rebuild_jobs(
    store: JobStore, storage: ObjectStorage, belongs_to_batch: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[str, bool]]:
    """Restore the records of all jobs that are in storage and not in Redis; yield (job id, restored).

    Jobs for which `belongs_to_batch` returns true are skipped. If several attempts left a document, the one with the
    highest fence is used. Raises StoreUnavailableError, StorageUnavailableError, RecordTooNewError.
    """
    for job_id, key in _newest_documents(storage):
        if belongs_to_batch(job_id):
            continue
        try:
            document = read_document(storage, key)
        except SourceMissingError:
            continue
        yield job_id, store.restore(document)


def _newest_documents(storage: ObjectStorage) -> Iterator[tuple[str, str]]:
    current, best_fence, best_key = "", -1, ""
    for key, _, _ in storage.list_keys("jobs/"):
        job_id, fence, filename = split_output_key(key)
        if filename != FILENAME:
            continue
        if job_id != current:
            if best_key:
                yield current, best_key
            current, best_fence, best_key = job_id, -1, ""
        if int(fence) > best_fence:
            best_fence, best_key = int(fence), key
    if best_key:
        yield current, best_key
