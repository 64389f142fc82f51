"""Errors that only occur in HTTP requests; all others are in shared/errors.py.

problem_details.py maps both to statuses.
"""

from __future__ import annotations

from shared.errors import InputError, StemqueueError, TransientError


class BodyMalformedError(InputError):
    """The body cannot be parsed as its Content-Type."""

    code = "body_malformed"


class BodyIncompleteError(InputError):
    """The client disconnected, or sent fewer bytes than its Content-Length."""

    code = "body_incomplete"


class BodyStalledError(InputError):
    """The client stopped sending before the end of the body."""

    code = "body_stalled"


class UploadTooLargeError(InputError):
    """The file is larger than MAX_UPLOAD_BYTES."""

    code = "upload_too_large"


class FormTooLargeError(InputError):
    """The form's fields or the JSON body exceed their size limit."""

    code = "form_too_large"


class MediaTypeUnsupportedError(InputError):
    """The endpoint does not accept this Content-Type."""

    code = "media_type_unsupported"


class NotAudioError(InputError):
    """The first bytes show that the file is not audio. For other files only a worker can tell."""

    code = "not_audio"


class HostRefusedError(StemqueueError):
    """The Host header is not one of this server's names: DNS rebinding, or a missing API_ALLOWED_HOSTS."""

    code = "host_refused"


class OriginRefusedError(StemqueueError):
    """The request comes from another site's web page."""

    code = "origin_refused"


class KeyMissingError(StemqueueError):
    """The server requires an API key, and the request has none."""

    code = "key_missing"


class KeyInvalidError(StemqueueError):
    """The API key is unknown or has been revoked."""

    code = "key_invalid"


class ScopeMissingError(StemqueueError):
    """The API key is valid, but lacks the scope of this endpoint."""

    code = "scope_missing"


class RateLimitedError(StemqueueError):
    """The API key has used up its requests of this minute; the next is allowed after `retry_after_seconds`."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OutputNotFoundError(StemqueueError):
    """The job has no such output and will not produce it."""

    code = "output_not_found"


class OutputGoneError(StemqueueError):
    """The output is no longer in storage, or was replaced there."""

    code = "output_gone"


class RangeUnsatisfiableError(StemqueueError):
    """The requested range is beyond the end of the object."""

    code = "range_unsatisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The range is outside the object's {size_bytes} bytes.")
        self.size_bytes = size_bytes


class KeyInUseError(StemqueueError):
    """Another request with the same Idempotency-Key is still in progress."""

    code = "idempotency_key_in_use"
    retryable = True


class KeyReusedError(InputError):
    """The Idempotency-Key was used before with a different request."""

    code = "idempotency_key_reused"


class RepeatedTooLateError(StemqueueError):
    """The Idempotency-Key's request was answered before, and what it created or changed has been deleted."""

    code = "repeated_too_late"


class UrlRefusedError(InputError):
    """The URL is malformed, or does not lead to a public address."""

    code = "url_refused"


class UrlFetchError(InputError):
    """The URL could not be fetched."""

    code = "url_unreachable"


class StreamsExhaustedError(TransientError):
    """This process has no thread left for another event stream."""

    code = "streams_exhausted"


class TooManyOpenCallsError(StemqueueError):
    """The owner has reached the limit of open uploads, downloads, waits and event streams."""

    code = "too_many_open_calls"
    retryable = True


class ServerBusyError(TransientError):
    """The server has reached its limit of open uploads, downloads, waits and event streams."""

    code = "server_busy"
