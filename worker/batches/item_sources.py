"""Finds the mixtures of a batch's items: objects in storage, and outputs of other jobs or of other items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.batches.item_status import BatchItems
from shared.batches.model import Batch, job_id_of
from shared.batches.store import BatchStore
from shared.errors import (
    AudioEmptyError,
    IllegalTransitionError,
    JobNotFoundError,
    SourceFailedError,
    SourceMissingError,
    SourceTooLargeError,
    StorageUnavailableError,
)
from shared.jobs.model import TERMINAL, Job, JobState
from shared.jobs.output_source import output_source
from shared.jobs.request import Source, read_source
from shared.queue.chains import source_to_come
from shared.storage.object_storage import ObjectStorage

ENDED_WITHOUT_OUTPUTS = frozenset("fci")
"""Letters of items without outputs, in lower case (see LETTERS in the model of batches)."""


@dataclass(frozen=True)
class ItemSources:
    """One for each worker process. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    items: BatchItems
    batches: BatchStore
    storage: ObjectStorage
    max_upload_bytes: int

    def output_of_item(self, batch: Batch, number: int, name: str) -> tuple[Source, str | None]:
        """Return an output of another item of the batch, and the id of its job if that has not ended.

        Raises IllegalTransitionError while that item has no job, SourceFailedError if it ended without outputs,
        SourceMissingError if its job is gone.
        """
        job_id = job_id_of(batch.id, number)
        job = self._find_job(job_id)
        if job and job.state not in TERMINAL:
            return source_to_come(job.request.source, job_id, name, job.request.format), job_id
        letter = self.batches.read_letters(batch.id, range(number, number + 1)).lower()
        if job is None and letter == "s":
            # Its record may have been replaced by its result between the two reads.
            job = self._find_job(job_id)
            if job is None:
                raise SourceMissingError(f"The job of item {number} is no longer in the storage.")
        if job is None:
            if letter in ENDED_WITHOUT_OUTPUTS:
                raise _source_failed(number, name, "ended without a job")
            raise IllegalTransitionError(f"Item {number} has no job yet.")
        if job.state is not JobState.SUCCEEDED:
            reason = (job.error or {}).get("message", "")
            raise _source_failed(number, name, f"has failed: {reason}" if reason else f"is {job.state}")
        if letter in ENDED_WITHOUT_OUTPUTS:
            # The job succeeded, and the item failed after it: its outputs could not be exported.
            raise _source_failed(number, name, "has failed after its job succeeded")
        return self._read_output(job, name), None

    def _find_job(self, job_id: str) -> Job | None:
        try:
            return self.items.read_job(job_id)
        except JobNotFoundError:
            return None

    def source_of(self, batch: Batch, members: Mapping[str, Any]) -> Source:
        """Return the source of an item. Raises SourceMissingError, FieldsInvalidError, SourceTooLargeError."""
        if "output" in members:
            return self._output_source(batch, members["job_id"], members["output"])
        source = dict(members)
        if not source.get("etag"):
            source.update(self._read_source(source["key"], source.get("bucket")))
        return read_source(source)

    def _output_source(self, batch: Batch, job_id: str, name: str) -> Source:
        """Return an output of another job of the batch's owner. Raises SourceMissingError, FieldsInvalidError."""
        try:
            job = self.items.read_job(job_id)
        except JobNotFoundError as error:
            raise SourceMissingError(error.message) from error
        if job.request.owner != batch.request.owner:
            raise SourceMissingError("There is no such job.")
        try:
            return self._read_output(job, name)
        except IllegalTransitionError as error:
            # An item does not wait for another job: that may never succeed, and would hold up the items behind it.
            raise SourceMissingError(error.message) from error

    def _read_output(self, job: Job, name: str) -> Source:
        try:
            return output_source(job, name, self.storage)
        except (StorageUnavailableError, SourceMissingError) as error:
            # As for other mixtures, see _read_source.
            self._require_bucket(None)
            if isinstance(error, SourceMissingError):
                raise
            return output_source(job, name, None)

    def _read_source(self, key: str, bucket: str | None) -> dict[str, Any]:
        """Return the size and the ETag of a mixture whose line gave none."""
        try:
            size_bytes, etag = self.storage.head(key, bucket=bucket)
        except (StorageUnavailableError, SourceMissingError) as error:
            # If the whole bucket is unavailable or missing, the object may still be there: the batch waits.
            self._require_bucket(bucket)
            if isinstance(error, SourceMissingError):
                raise
            # Only this object is unavailable: its job will try again, and show the reason.
            return {"size_bytes": 0}
        if not size_bytes:
            raise AudioEmptyError("The object is empty.")
        if size_bytes > self.max_upload_bytes:
            limit = self.max_upload_bytes
            raise SourceTooLargeError(f"The object is larger than this server's limit of {limit:,} bytes.")
        return {"size_bytes": size_bytes, "etag": etag}

    def _require_bucket(self, bucket: str | None) -> None:
        """Raise StorageUnavailableError if a bucket does not answer; a refusal counts as an answer."""
        try:
            self.storage.ping(bucket)
        except StorageUnavailableError as error:
            # A key that may read objects need not be allowed to query the bucket.
            if not error.is_refusal:
                raise


def _source_failed(number: int, name: str, what: str) -> SourceFailedError:
    return SourceFailedError(f"This item continues with the output {name} of item {number}, which {what}.")
