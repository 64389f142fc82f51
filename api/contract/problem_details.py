"""Turns every error into problem details (RFC 9457) with a stable code and the request's id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from api.contract import errors as http_errors
from api.contract.errors import KeyInUseError, RangeUnsatisfiableError, RateLimitedError, TooManyOpenCallsError
from shared import errors
from shared.errors import FieldsInvalidError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[type[errors.StemqueueError], int] = {
    errors.InputError: 422,
    errors.SourceMissingError: 410,
    errors.TransientError: 503,
    errors.StemqueueError: 500,
    errors.JobNotFoundError: 404,
    errors.IllegalTransitionError: 409,
    errors.BatchNotFoundError: 404,
    errors.BatchStateError: 409,
    errors.StemsNotKeptError: 409,
    errors.FenceLostError: 409,
    errors.QueueFullError: 503,
    errors.QueueDrainingError: 503,
    http_errors.BodyMalformedError: 400,
    http_errors.BodyIncompleteError: 400,
    http_errors.BodyStalledError: 408,
    http_errors.UploadTooLargeError: 413,
    http_errors.FormTooLargeError: 413,
    http_errors.MediaTypeUnsupportedError: 415,
    http_errors.NotAudioError: 415,
    errors.AudioEmptyError: 415,
    http_errors.HostRefusedError: 403,
    http_errors.OriginRefusedError: 403,
    errors.QuotaExceededError: 429,
    http_errors.RateLimitedError: 429,
    http_errors.TooManyOpenCallsError: 429,
    http_errors.KeyMissingError: 401,
    http_errors.KeyInvalidError: 401,
    http_errors.ScopeMissingError: 403,
    http_errors.OutputNotFoundError: 404,
    http_errors.OutputGoneError: 410,
    http_errors.RangeUnsatisfiableError: 416,
    http_errors.KeyInUseError: 409,
    http_errors.RepeatedTooLateError: 410,
}
"""The status of each error class; other classes have the status of their nearest listed parent."""

FRAMEWORK_CODES: Mapping[int, str] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: http_errors.FormTooLargeError.code,
    415: http_errors.MediaTypeUnsupportedError.code,
}
"""The codes of errors that Flask raises itself, by status."""

RETRY_AFTER_SECONDS = 2
"""When a client may retry after a 503. Lowering it increases the load on a server that is still in trouble."""

FULL_RETRY_AFTER_SECONDS = 30
"""The same while Redis is full: memory is freed as jobs are deleted or expire, which takes longer than a restart."""


def register_problems(app: Flask) -> None:
    """Make every error response of the application problem details."""
    app.register_error_handler(errors.StemqueueError, answer_error)
    app.register_error_handler(HTTPException, _framework_error)
    app.register_error_handler(Exception, _unexpected_error)


def status_of(error: errors.StemqueueError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(status: int, code: str, detail: str, **members: Any) -> Response:
    """Return problem details as a response."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": g.get("request_id"),
        **members,
    }
    response = Response(json.dumps(body) + "\n", status=status, content_type=MEDIA_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="stemqueue"'
    return response


def answer_error(error: errors.StemqueueError) -> Response:
    """Return the problem details of an error."""
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("server error response", code=error.code, error=error.message)
    members = {"errors": error.errors} if isinstance(error, FieldsInvalidError) else {}
    response = problem(status, error.code, error.message, **members)
    if isinstance(error, RateLimitedError | errors.QuotaExceededError | errors.QueueFullError):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.StoreFullError):
        response.headers["Retry-After"] = str(FULL_RETRY_AFTER_SECONDS)
    if isinstance(error, TooManyOpenCallsError):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, RangeUnsatisfiableError):
        response.headers["Content-Range"] = f"bytes */{error.size_bytes}"
    if isinstance(error, KeyInUseError):
        response.headers["Retry-After"] = "1"
    return response


def _framework_error(error: HTTPException) -> Response:
    answer = error.get_response()
    status = answer.status_code
    if status < HTTPStatus.BAD_REQUEST:
        # Werkzeug raises redirects as exceptions too.
        return Response(answer.get_data(), status, answer.headers)
    detail = "There is no such endpoint." if status == HTTPStatus.NOT_FOUND else error.description or ""
    response = problem(status, FRAMEWORK_CODES.get(status, "bad_request"), detail)
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    return response


def _unexpected_error(error: Exception) -> Response:
    # An unexpected error's message may contain anything, so it is logged and never sent to the client.
    log.error("request failed", path=request.path, exc_info=error)
    return problem(500, errors.StemqueueError.code, "Internal error. Quote the request id when you report it.")
