"""The response bodies of uploads."""

from __future__ import annotations

from pydantic import Field

from api.contract.resource import Resource


class DirectUploadResource(Resource):
    """An upload that the client sends to storage: a multipart form with these fields, and then the part `file`."""

    upload_id: str
    filename: str
    url: str = Field(description="Where the form is posted")
    fields: dict[str, str] = Field(description="The form's fields")
    expires_in_seconds: int


class UploadResource(Resource):
    """An upload that jobs can name."""

    upload_id: str
    filename: str
    size_bytes: int
    sha256: str
