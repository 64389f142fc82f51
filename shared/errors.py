"""Every error that has a name here: its stable code, and whether trying again can help.

Owns the codes that clients see in `error.code` and `code`; owns no HTTP status (api/contract/problem_details.py does).

    StemqueueError
    |-- InputError                 the audio or the request is at fault; never retried
    |   |-- AudioEmptyError, AudioUnreadableError, AudioUnsupportedError,
    |   |   AudioTooLongError, AudioTooShortError, SourceMissingError, SourceRefusedError,
    |   |   SourceTooLargeError, ExportRefusedError
    |   `-- RequestInvalidError
    |       `-- FieldsInvalidError, ManifestInvalidError
    |-- PassingError               something around us is at fault; storage and Redis are waited for, the others retried
    |   |-- StorageUnavailableError, StoreUnavailableError, ScratchFullError, WorkersUnavailableError,
    |   |   SandboxUnavailableError, RecordTooNewError
    |   |   `-- StoreFullError (a StoreUnavailableError)
    |-- ResourceError              the job asked too much of the worker
    |   |-- OutOfMemoryError       retried, three times in all
    |   |-- SeparationTimeoutError
    |   `-- SeparationFailedError  a defect of ours
    `-- LifeCycleError             the job's state does not allow it
        |-- JobNotFoundError, IllegalTransitionError, FenceLostError, QueueFullError, QueueDrainingError
        |-- BatchNotFoundError, BatchStateError
        `-- QuotaExceededError     an owner has used what one may
            `-- QueueQuotaError, StorageQuotaError, AudioQuotaError, RecordsQuotaError
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class StemqueueError(Exception):
    """Something went wrong that has a name; the message is one sentence for the person who asked."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InputError(StemqueueError):
    """What the client gave cannot be worked on, now or later."""


class AudioEmptyError(InputError):
    """The file holds no bytes, or no samples."""

    code = "audio_empty"


class AudioUnreadableError(InputError):
    """The file is no audio, or too damaged to decode."""

    code = "audio_unreadable"


class AudioUnsupportedError(InputError):
    """The audio is sound but outside what is taken: rate, channels, codec."""

    code = "audio_unsupported"


class AudioTooLongError(InputError):
    """The audio, or what it decodes to, is longer than allowed."""

    code = "audio_too_long"


class AudioTooShortError(InputError):
    """The audio, or the excerpt of it, is shorter than the engine needs."""

    code = "audio_too_short"


class SourceMissingError(InputError):
    """The object that holds the mixture is gone or was replaced since the job was made."""

    code = "source_missing"


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
    """The manifest as a whole cannot be read; of a single bad line its item tells."""

    code = "manifest_invalid"


class SourceRefusedError(InputError):
    """This server takes no mixtures from there."""

    code = "source_refused"


class SourceTooLargeError(InputError):
    """The object that holds the mixture is larger than this server takes."""

    code = "upload_too_large"


class ExportRefusedError(InputError):
    """This server copies nothing to there."""

    code = "export_refused"


class PassingError(StemqueueError):
    """A fault that passes by itself; the same attempt may succeed later."""

    retryable = True


class StorageUnavailableError(PassingError):
    """The object storage is away, slow, or refuses for now.

    `is_refusal`: it answered, and will not do this with this object: access is denied, or the object is archived.
    """

    code = "storage_unavailable"

    def __init__(self, message: str, *, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal


class StoreUnavailableError(PassingError):
    """Redis is away, hung, or full."""

    code = "queue_unavailable"


class StoreFullError(StoreUnavailableError):
    """Redis has no memory for anything new; what was accepted goes on."""

    code = "queue_memory_full"


class ScratchFullError(PassingError):
    """The worker's scratch disk is full, or the job passed its share of it."""

    code = "scratch_full"


class WorkersUnavailableError(PassingError):
    """No worker is there to say whether it could do what is asked."""

    code = "workers_unavailable"


class RecordTooNewError(PassingError):
    """A newer version wrote the record, and this process cannot read it; a process of that version can."""

    code = "record_too_new"


class SandboxUnavailableError(PassingError):
    """A process that handles a stranger's file cannot be confined, so it was not started."""

    code = "sandbox_unavailable"


class ResourceError(StemqueueError):
    """The job took more of the worker than it may."""


class OutOfMemoryError(ResourceError):
    """The child passed its memory limit, or the system killed it for memory."""

    code = "out_of_memory"
    retryable = True


class SeparationTimeoutError(ResourceError):
    """The job ran longer than its audio's duration allows."""

    code = "timed_out"


class SeparationFailedError(ResourceError):
    """The child stopped with an error that has no name: a defect of ours."""

    code = "separation_failed"
    retryable = True


class LifeCycleError(StemqueueError):
    """The job is not in a state that allows this."""


class JobNotFoundError(LifeCycleError):
    """There is no such job, or it is somebody else's."""

    code = "job_not_found"


class IllegalTransitionError(LifeCycleError):
    """The job's state forbids it."""

    code = "job_state_conflict"


class FenceLostError(LifeCycleError):
    """Another claim has taken the job over, or it was canceled; this attempt must write nothing more."""

    code = "fence_lost"


class BatchNotFoundError(LifeCycleError):
    """There is no such batch, or it is somebody else's."""

    code = "batch_not_found"


class BatchStateError(LifeCycleError):
    """The batch's state forbids it."""

    code = "batch_state_conflict"


class QueueFullError(LifeCycleError):
    """As many jobs wait as are allowed to; `retry_after_seconds` follows from how fast they are worked off."""

    code = "queue_full"
    retryable = True

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueDrainingError(LifeCycleError):
    """The queue takes no new jobs for now: an operator drains it."""

    code = "queue_draining"
    retryable = True


class QuotaExceededError(LifeCycleError):
    """The owner has used what one owner may; `retry_after_seconds` says when it is worth to ask again."""

    code = "quota_exceeded"
    retryable = True

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueQuotaError(QuotaExceededError):
    """As many of the owner's jobs wait as may."""

    code = "queue_quota_exceeded"


class StorageQuotaError(QuotaExceededError):
    """The owner's uploads and outputs take as much room as they may."""

    code = "storage_quota_exceeded"


class AudioQuotaError(QuotaExceededError):
    """As much audio was separated for the owner today as may be."""

    code = "audio_quota_exceeded"


class RecordsQuotaError(QuotaExceededError):
    """The records of the owner's jobs, batches, uploads and Idempotency-Keys take as much of Redis as they may."""

    code = "records_quota_exceeded"
