"""Copies the stems and mixes of a batch's jobs to its export bucket, and tries again after transient errors."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog

from shared.batches.export_names import export_keys
from shared.batches.model import Batch, Export, chunk_of
from shared.batches.stored_items import BatchObjects
from shared.errors import StemqueueError, StorageUnavailableError, TransientError
from shared.jobs.model import AUDIO_KINDS, Job
from shared.storage.object_storage import ObjectStorage

log = structlog.get_logger(__name__)

EXPORT_TRIES = 5
"""How often the copies of a job's stems are tried when the export bucket answers and refuses them. Raising it leaves an
operator more time to allow them. An unavailable bucket is waited for, however long."""

LONGEST_EXPORT_PAUSE_SECONDS = 60.0
"""The longest pause between two tries. Raising it delays exports once their bucket is available again."""


class ExportPostponedError(Exception):
    """The export is tried again later."""


@dataclass
class ExportRetry:
    """What is known of an export that has failed so far."""

    tries: int = 0
    refusals: int = 0
    next_at: float = 0.0


@dataclass(frozen=True)
class BatchExports:
    """One for each worker process."""

    storage: ObjectStorage
    objects: BatchObjects
    _retries: dict[str, ExportRetry] = field(default_factory=dict)

    def export_stems(self, export: Export, batch: Batch, job: Job, number: int) -> StemqueueError | None:
        """Copy the stems and mixes of item `number`; return the error if that has failed for good.

        Raises ExportPostponedError.
        """
        retry = self._retries.get(job.id)
        if retry and time.monotonic() < retry.next_at:
            raise ExportPostponedError
        error = None
        try:
            self._copy_stems(export, batch, job, number)
        except StemqueueError as raised:
            if not self._is_final(job, raised, export.bucket):
                raise ExportPostponedError from raised
            error = raised
        self._retries.pop(job.id, None)
        return error

    def _copy_stems(self, export: Export, batch: Batch, job: Job, number: int) -> None:
        (item,) = self.objects.read_items(batch.id, chunk_of(number), [number])
        stems = {o.name: o for o in job.outputs if o.kind in AUDIO_KINDS}
        for name, key in export_keys(export, item, list(stems)).items():
            stem = stems[name]
            self.storage.copy(stem.key, key, size_bytes=stem.size_bytes, etag=stem.etag, bucket=export.bucket)

    def _is_final(self, job: Job, error: StemqueueError, bucket: str) -> bool:
        """Return whether the export has failed for good; if not, set when it is tried again.

        An unavailable bucket is waited for; repeated refusals by a bucket that answers are final.
        """
        retry = self._retries.setdefault(job.id, ExportRetry())
        retry.tries += 1
        retry.refusals += (
            isinstance(error, StorageUnavailableError) and error.is_refusal and self.storage.is_answering(bucket)
        )
        if not isinstance(error, TransientError) or retry.refusals >= EXPORT_TRIES:
            return True
        pause = min(2.0 ** min(retry.tries - 1, 10), LONGEST_EXPORT_PAUSE_SECONDS)
        retry.next_at = time.monotonic() + pause
        log.warning("export postponed", job=job.id, error=error.message, seconds=pause)
        return False
