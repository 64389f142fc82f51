"""What the answers of jobs and of batches have in common: entity tags, Retry-After, Location, bodies that are JSON."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request

from api.contract.errors import MediaTypeUnsupportedError
from api.contract.job_requests import parse_json
from api.request_bodies.body_stream import MAX_FORM_BYTES, read_small_body


def resource_response(
    write_json: Callable[[str], bytes], tag: str, status: int, *, retry_after_seconds: int | None, location: str | None
) -> Response:
    """Return the answer with a resource; 304 if the client has it as it is.

    `write_json` is called with the path below which the API is. `retry_after_seconds` is None once the resource changes
    no more. `location` is the path of a resource that was just created.
    """
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds)
    if location is not None:
        headers["Location"] = location
    is_conditional = "HTTP_IF_NONE_MATCH" in request.environ and request.method in {"GET", "HEAD"}
    if is_conditional and request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    return Response(write_json(request.script_root), status, headers, content_type="application/json")


def json_body(complaint: str, max_bytes: int = MAX_FORM_BYTES) -> object:
    """Return the value of a JSON body. Raises MediaTypeUnsupportedError with the complaint if it is of another type."""
    if request.mimetype != "application/json":
        raise MediaTypeUnsupportedError(complaint)
    return parse_json(read_small_body(request.environ, max_bytes))
