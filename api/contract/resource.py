"""The base classes of everything in a response body, its moments and paths, and the response with a resource."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Response, request
from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """An object in a response body."""

    model_config = ConfigDict(frozen=True)


class OpenResource(Resource):
    """An object in a response body to which workers may add members of their own."""

    model_config = ConfigDict(frozen=True, extra="allow")


def utc_datetime(seconds: float | None) -> datetime | None:
    """Return seconds since 1970 as a UTC date and time; None when the moment is not known (None or 0)."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def job_path(job_id: str, root: str) -> str:
    """Return the path of a job; `root` is the path below which the API is published."""
    return f"{root}/v1/jobs/{job_id}"


def batch_path(batch_id: str, root: str) -> str:
    """Return the path of a batch; `root` is the path below which the API is published."""
    return f"{root}/v1/batches/{batch_id}"


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
