"""An error of each status as the OpenAPI document shows it. Which code has which status is in `problem_details.py`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_CODES_AND_DETAILS: Mapping[int, tuple[str, str]] = {
    400: ("body_malformed", "The body is not valid JSON."),
    401: ("key_missing", "An API key is required. Send it as `Authorization: Bearer <key>`."),
    403: (
        "host_refused",
        "This server does not accept this Host header. Its setting API_ALLOWED_HOSTS can add the name.",
    ),
    404: ("job_not_found", "There is no such job."),
    408: ("body_stalled", "The body arrived too slowly."),
    409: ("job_state_conflict", "A job that is queued cannot be deleted."),
    410: ("source_missing", "There is no such upload."),
    413: ("upload_too_large", "The file is larger than this server's limit of 2,000,000,000 bytes."),
    415: (
        "not_audio",
        "The file is a picture; send the song itself, as MP3, WAV, FLAC, M4A, Ogg or another format of audio or video.",
    ),
    416: ("range_unsatisfiable", "The range is outside the object's 1000 bytes."),
    422: ("request_invalid", "engine: 'unnet' is unknown; choose from repetition"),
    429: ("rate_limited", "This API key has reached its limit of 600 requests per minute."),
    500: ("internal_error", "Internal error. Quote the request id when you report it."),
    503: ("queue_unavailable", "Redis is unavailable (ConnectionError)."),
}

_OF_BATCHES: Mapping[int, tuple[str, str]] = {
    404: ("batch_not_found", "There is no such batch."),
    409: ("batch_state_conflict", "A batch that is reading cannot be deleted."),
}

_OF_OUTPUTS: Mapping[int, tuple[str, str]] = {
    404: ("output_not_found", "The job is succeeded and has no stem named 'piano'."),
    410: ("output_gone", "The object is no longer in storage, or has been replaced there."),
}

_OF_TAGS = {"batches": _OF_BATCHES, "outputs": _OF_OUTPUTS}


def example_problem(status: int, tag: str) -> dict[str, Any]:
    """Return problem details with this status, as an operation with this tag answers them."""
    code, detail = _OF_TAGS.get(tag, {}).get(status) or _CODES_AND_DETAILS[status]
    field, _, message = detail.partition(": ")
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "95a23e1a8e1c5737",
        **(
            {"errors": [{"field": field, "message": message, "allowed": ["repetition"]}]}
            if code == "request_invalid"
            else {}
        ),
    }
