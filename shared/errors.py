"""Defines the project's errors, each with a stable code and whether a retry can help.

Clients see the codes in `error.code` and `code`. api/contract/problem_details.py assigns the HTTP statuses.

    StemqueueError
    |-- InputError                 the audio or the request is invalid; never retried
    |   |-- AudioEmptyError, AudioUnreadableError, AudioUnsupportedError,
    |   |   AudioTooLongError, AudioTooShortError, SourceMissingError, SourceRefusedError,
    |   |   SourceFailedError, SourceTooLargeError, ExportRefusedError
    |   `-- RequestInvalidError
    |       `-- FieldsInvalidError, ManifestInvalidError
    |-- TransientError             may go away by itself: jobs wait for storage and Redis, and are retried otherwise
    |   |-- StorageUnavailableError, StoreUnavailableError, ScratchFullError, WorkersUnavailableError,
    |   |   SandboxUnavailableError, RecordTooNewError
    |   |   `-- StoreFullError (a StoreUnavailableError)
    |-- ResourceError              the job exceeded the worker's resource limits
    |   |-- OutOfMemoryError       retried, three times in all
    |   |-- SeparationTimeoutError
    |   `-- SeparationFailedError  a defect of this software
    `-- LifeCycleError             the state of the job or batch does not allow it
        |-- JobNotFoundError, IllegalTransitionError, FenceLostError, QueueFullError, QueueDrainingError
        |-- BatchNotFoundError, BatchStateError, StemsNotKeptError
        `-- QuotaExceededError     an owner has reached a limit
            `-- QueueQuotaError, StorageQuotaError, AudioQuotaError, RecordsQuotaError
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class StemqueueError(Exception):
    """An error with a code. The message is written for the person who sent the request."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InputError(StemqueueError):
    """The client's input cannot be processed, now or later."""


class AudioEmptyError(InputError):
    """The file holds no bytes, or no samples."""

    code = "audio_empty"


class AudioUnreadableError(InputError):
    """The file is not audio, or it is too damaged to decode."""

    code = "audio_unreadable"


class AudioUnsupportedError(InputError):
    """The audio is valid, but its sample rate, channels or codec are not supported."""

    code = "audio_unsupported"


class AudioTooLongError(InputError):
    """The audio, or what it decodes to, is longer than allowed."""

    code = "audio_too_long"


class AudioTooShortError(InputError):
    """The audio, or the excerpt of it, is shorter than the engine needs."""

    code = "audio_too_short"


class SourceMissingError(InputError):
    """The object that holds the mixture was deleted or replaced after the job was created."""

    code = "source_missing"


class SourceFailedError(InputError):
    """The job whose output this job was to continue with has failed, was canceled, or lacks that output."""

    code = "source_failed"


class RequestInvalidError(InputError):
    """The request asks for something that does not exist or is out of range."""

    code = "request_invalid"


class FieldsInvalidError(RequestInvalidError):
    """Fields of the request are unknown, missing or out of range; `errors` names each."""

    def __init__(self, errors: Sequence[dict[str, Any]]) -> None:
        first = errors[0]
        super().__init__(f"{first['field']}: {first['message']}" if first["field"] else first["message"])
        self.errors = list(errors)


class ManifestInvalidError(RequestInvalidError):
    """The manifest cannot be read. A single invalid line makes only its item invalid."""

    code = "manifest_invalid"


class SourceRefusedError(InputError):
    """This server does not accept mixtures from that place."""

    code = "source_refused"


class SourceTooLargeError(InputError):
    """The object that holds the mixture is larger than this server accepts."""

    code = "upload_too_large"


class ExportRefusedError(InputError):
    """This server does not export to that bucket."""

    code = "export_refused"


class TransientError(StemqueueError):
    """An error that may go away by itself; the same call may succeed later."""

    retryable = True


class StorageUnavailableError(TransientError):
    """The object storage is unavailable, slow, or refuses the request for now.

    `is_refusal`: the storage answered and refused this object, because access is denied or the object is archived.
    """

    code = "storage_unavailable"

    def __init__(self, message: str, *, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal


class StoreUnavailableError(TransientError):
    """Redis is unavailable, does not answer in time, or is full."""

    code = "queue_unavailable"


class StoreFullError(StoreUnavailableError):
    """Redis has no memory for new records. Accepted jobs continue."""

    code = "queue_memory_full"


class ScratchFullError(TransientError):
    """The worker's scratch disk is full, or the job exceeded its share of it."""

    code = "scratch_full"

    def __init__(self, message: str = "The worker's scratch disk is full.") -> None:
        super().__init__(message)


class WorkersUnavailableError(TransientError):
    """No live worker can confirm that it supports the request."""

    code = "workers_unavailable"


class RecordTooNewError(TransientError):
    """A newer version wrote the record, and this process cannot read it."""

    code = "record_too_new"


class SandboxUnavailableError(TransientError):
    """The sandbox for a process that reads client files is not available, so the process was not started."""

    code = "sandbox_unavailable"


class ResourceError(StemqueueError):
    """The job exceeded the worker's resource limits."""


class OutOfMemoryError(ResourceError):
    """The child exceeded its memory limit, or the kernel killed it because memory ran out."""

    code = "out_of_memory"
    retryable = True


class SeparationTimeoutError(ResourceError):
    """The job ran longer than the time limit for its audio's duration."""

    code = "timed_out"


class SeparationFailedError(ResourceError):
    """The child stopped with an unexpected error: a defect of this software."""

    code = "separation_failed"
    retryable = True


class LifeCycleError(StemqueueError):
    """The state of the job or batch does not allow this."""


class JobNotFoundError(LifeCycleError):
    """The job does not exist, or it belongs to another owner."""

    code = "job_not_found"


class IllegalTransitionError(LifeCycleError):
    """The job's state does not allow this."""

    code = "job_state_conflict"


class FenceLostError(LifeCycleError):
    """Another claim replaced this one, or the job was canceled. This attempt must not write any more."""

    code = "fence_lost"


class StemsNotKeptError(LifeCycleError):
    """The job has not kept a stem that a mix needs, or no stems at all."""

    code = "stems_not_kept"


class BatchNotFoundError(LifeCycleError):
    """The batch does not exist, or it belongs to another owner."""

    code = "batch_not_found"


class BatchStateError(LifeCycleError):
    """The batch's state does not allow this."""

    code = "batch_state_conflict"


class QueueFullError(LifeCycleError):
    """The queue is full. `retry_after_seconds` depends on how fast its jobs are processed."""

    code = "queue_full"
    retryable = True

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueDrainingError(LifeCycleError):
    """An operator is draining the queue, so it accepts no new jobs."""

    code = "queue_draining"
    retryable = True


class QuotaExceededError(LifeCycleError):
    """The owner has reached a limit. `retry_after_seconds` says when a retry may succeed."""

    code = "quota_exceeded"
    retryable = True

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueQuotaError(QuotaExceededError):
    """The owner has reached the limit of queued jobs."""

    code = "queue_quota_exceeded"


class StorageQuotaError(QuotaExceededError):
    """The owner's storage quota is used up by uploads and outputs."""

    code = "storage_quota_exceeded"


class AudioQuotaError(QuotaExceededError):
    """The owner's daily audio quota is used up."""

    code = "audio_quota_exceeded"


class RecordsQuotaError(QuotaExceededError):
    """The owner's share of Redis is used up by jobs, batches, uploads and Idempotency-Keys."""

    code = "records_quota_exceeded"
