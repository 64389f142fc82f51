"""Errors that only HTTP has: what is wrong with a request before any job is concerned.

Owns their codes; problem_details.py gives them a status. Everything else that can go wrong is in shared/errors.py.
"""

from __future__ import annotations

from shared.errors import InputError, StemqueueError, TransientError


class BodyMalformedError(InputError):
    """The body is not what its Content-Type says."""

    code = "body_malformed"


class BodyIncompleteError(InputError):
    """The client went away, or sent less than it announced."""

    code = "body_incomplete"


class BodyStalledError(InputError):
    """The client stopped sending in mid-body."""

    code = "body_stalled"


class UploadTooLargeError(InputError):
    """The file is larger than this server takes."""

    code = "upload_too_large"


class FormTooLargeError(InputError):
    """The form's fields, or a JSON body, are larger than any honest request's."""

    code = "form_too_large"


class MediaTypeUnsupportedError(InputError):
    """The body's Content-Type is none of those that the call takes."""

    code = "media_type_unsupported"


class NotAudioError(InputError):
    """The file is of another kind, as its first bytes show; whether others hold audio only a worker finds out."""

    code = "not_audio"


class HostRefusedError(StemqueueError):
    """The request names a host that this server does not go by: some web page's trick, or a missing setting."""

    code = "host_refused"


class OriginRefusedError(StemqueueError):
    """The request comes from a web page of another site."""

    code = "origin_refused"


class KeyMissingError(StemqueueError):
    """The server asks for an API key, and the request has none."""

    code = "key_missing"


class KeyInvalidError(StemqueueError):
    """There is no such API key, or no longer."""

    code = "key_invalid"


class ScopeMissingError(StemqueueError):
    """The key is good, but not for this call."""

    code = "scope_missing"


class RateLimitedError(StemqueueError):
    """The key has made as many requests as it may for now; `retry_after_seconds` says for how long."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OutputNotFoundError(StemqueueError):
    """The job has no such output, and will not get it."""

    code = "output_not_found"


class OutputGoneError(StemqueueError):
    """The output was there once; the storage has it no longer."""

    code = "output_gone"


class RangeUnsatisfiableError(StemqueueError):
    """The wanted range lies beyond the end of the object."""

    code = "range_unsatisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The range lies outside the {size_bytes} bytes that there are.")
        self.size_bytes = size_bytes


class KeyInUseError(StemqueueError):
    """A request with the same Idempotency-Key is being served; its answer will be there soon."""

    code = "idempotency_key_in_use"
    retryable = True


class KeyReusedError(InputError):
    """The Idempotency-Key was used before, for another request."""

    code = "idempotency_key_reused"


class RepeatedTooLateError(StemqueueError):
    """The request was answered before under its Idempotency-Key; what it made or changed is there no longer."""

    code = "repeated_too_late"


class UrlRefusedError(InputError):
    """The URL is none of the web's, or leads to where this server may not go."""

    code = "url_refused"


class UrlUnreachableError(InputError):
    """Nothing could be fetched from the URL."""

    code = "url_unreachable"


class StreamsExhaustedError(TransientError):
    """As many clients follow jobs as this process has threads to spare for."""

    code = "streams_exhausted"


class TooManyOpenCallsError(StemqueueError):
    """The owner has as many uploads, downloads, waits and event streams open as one owner may."""

    code = "too_many_open_calls"
    retryable = True


class ServerBusyError(TransientError):
    """All owners together have as many uploads, downloads, waits and event streams open as the server can serve."""

    code = "server_busy"
