"""Uploads over HTTP: a mixture sent once, for several jobs."""

from __future__ import annotations

from flask import Blueprint, Response, request

from api.idempotency import Exchange, repeatable
from api.openapi import Operation, describes
from api.resources import UploadResource
from api.routes.jobs import sender
from api.schemas import UploadQuery, clean_filename, validate
from api.services import services
from api.streaming_upload import DigestOnly, body_blocks, store_body
from api.submission import new_upload_id
from shared.errors import StemqueueError

blueprint = Blueprint("uploads", __name__, url_prefix="/v1/uploads")


@blueprint.post("")
@describes(
    Operation(
        "Upload a mixture",
        tag="uploads",
        query=UploadQuery,
        media_in=("application/octet-stream", "audio/*"),
        answers={201: UploadResource},
        problems=(400, 408, 413, 422, 503),
        repeatable=True,
    )
)
@repeatable
def upload(exchange: Exchange) -> Response:
    """Store the request's body; jobs name it by `source.upload_id`. Unused, it is removed after a day."""
    filename = clean_filename(validate(UploadQuery, request.args.to_dict()).filename)
    submission = services().submission
    blocks = body_blocks(request.environ, max_file_bytes=services().settings.max_upload_bytes)
    submission.demand_ready(sender(), request.content_length or 0)
    upload_id = new_upload_id()
    sink = DigestOnly() if exchange.replays else submission.open_upload(upload_id)
    stored = store_body(exchange.renewing(blocks), sink)
    try:
        exchange.seal({"sha256": stored.sha256})
    except StemqueueError:
        submission.take_back(stored)
        raise
    submission.keep_upload(sender(), upload_id, filename, stored)
    resource = UploadResource(
        upload_id=upload_id, filename=filename, size_bytes=stored.size_bytes, sha256=stored.sha256
    )
    return Response(resource.model_dump_json(), status=201, content_type="application/json")
