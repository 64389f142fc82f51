"""The response bodies of uploads."""

from __future__ import annotations

from pydantic import Field

from api.contract.resource import Resource


class DirectUploadResource(Resource):
    """How to send a file straight to storage: a multipart form with these fields, followed by the part `file`."""

    upload_id: str
    filename: str
    url: str = Field(description="Address to which the form must be sent with POST")
    fields: dict[str, str] = Field(description="The form's fields")
    expires_in_seconds: int


class UploadResource(Resource):
    """A stored file that jobs can name as their source."""

    upload_id: str
    filename: str
    size_bytes: int
    sha256: str
