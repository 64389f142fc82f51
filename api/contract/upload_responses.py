"""The response bodies of uploads."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from api.contract.examples.server import EXAMPLE_DIRECT_UPLOAD, EXAMPLE_UPLOAD
from api.contract.resource import Resource


class DirectUploadResource(Resource):
    """How to send a file straight to storage: a multipart form with these fields, followed by the part `file`."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_DIRECT_UPLOAD]})

    upload_id: str
    filename: str
    url: str = Field(description="Address to which the form must be sent with POST")
    fields: dict[str, str] = Field(description="The form's fields")
    expires_in_seconds: int


class UploadResource(Resource):
    """A stored file that jobs can name as their source."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_UPLOAD]})

    upload_id: str
    filename: str
    size_bytes: int
    sha256: str
