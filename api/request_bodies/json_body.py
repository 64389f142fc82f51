"""Reads a body that is JSON."""

from __future__ import annotations

from flask import request

from api.contract.errors import MediaTypeUnsupportedError
from api.contract.job_requests import parse_json
from api.request_bodies.body_stream import MAX_FORM_BYTES, read_small_body


def json_body(complaint: str, max_bytes: int = MAX_FORM_BYTES) -> object:
    """Return the value of a JSON body. Raises MediaTypeUnsupportedError with the complaint if it is of another type."""
    if request.mimetype != "application/json":
        raise MediaTypeUnsupportedError(complaint)
    return parse_json(read_small_body(request.environ, max_bytes))
