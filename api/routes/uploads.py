"""The endpoint of uploads: a file sent once that several jobs can use, or a manifest of a batch."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, request

from api.contract.errors import MediaTypeUnsupportedError
from api.contract.job_requests import UploadQuery, UploadWish, parse_json, query_values
from api.contract.openapi import Operation, describes
from api.contract.upload_responses import DirectUploadResource, UploadResource
from api.request_bodies.body_stream import DigestOnly, body_blocks, read_small_body, store_body
from api.request_bodies.content_check import may_be_manifest
from api.routes.idempotency import Exchange, repeatable
from api.routes.ownership import sender
from api.services import services
from api.submission.job_submission import FORM_SECONDS, new_upload_id
from shared.errors import StemqueueError
from shared.parsing.file_names import clean_filename
from shared.telemetry import tracing
from shared.validation import validate

blueprint = Blueprint("uploads", __name__, url_prefix="/v1/uploads")


def answer_again(upload_id: str, status: int) -> Response:
    """Respond to a repeated upload. Raises SourceMissingError."""
    known = services().submission.read_upload(sender(), upload_id)
    if status == HTTPStatus.CREATED:
        return _upload_response(upload_id, known["filename"], int(known["size_bytes"]), known["sha256"])
    # Signed again, since the first form may have expired.
    return _form_response(upload_id, known["filename"], int(known["size_bytes"]))


@blueprint.post("")
@describes(
    Operation(
        "Upload a mixture",
        tag="uploads",
        query=UploadQuery,
        media_in=("application/octet-stream", "audio/*"),
        bodies={"application/json": UploadWish},
        answers={200: DirectUploadResource, 201: UploadResource},
        problems=(400, 408, 413, 415, 422, 503),
        repeatable=True,
    )
)
@repeatable(answer_again)
def upload(exchange: Exchange) -> Response:
    """Store the request's body, a mixture or a batch's manifest, under an `upload_id`.

    An upload that no job uses is deleted after a day. With a JSON body the response (200) is a form that sends the file
    straight to storage; this needs a storage with a public address.
    """
    if request.mimetype == "application/json":
        return _direct_upload(exchange)
    if request.mimetype.startswith("multipart/"):
        # The whole form would be stored, which is not an audio file.
        raise MediaTypeUnsupportedError("Send the file itself as the body. Forms are accepted by /v1/jobs.")
    filename = clean_filename(validate(UploadQuery, query_values(request.args)).filename)
    submission = services().submission
    blocks = body_blocks(request.environ, max_file_bytes=services().settings.max_upload_bytes)
    submission.check_ready(sender(), request.content_length or 0)
    upload_id = new_upload_id()
    sink = DigestOnly() if exchange.replays else submission.open_upload(upload_id, takes_text=may_be_manifest(filename))
    with tracing.span("receive song"):
        stored = store_body(exchange.renewing(blocks), sink)
    try:
        exchange.record_request({"sha256": stored.sha256})
    except StemqueueError:
        submission.discard_upload(stored)
        raise
    submission.record_upload(sender(), upload_id, filename, stored)
    exchange.made_id = upload_id
    return _upload_response(upload_id, filename, stored.size_bytes, stored.sha256)


def _upload_response(upload_id: str, filename: str, size_bytes: int, sha256: str) -> Response:
    resource = UploadResource(upload_id=upload_id, filename=filename, size_bytes=size_bytes, sha256=sha256)
    return Response(resource.model_dump_json(), status=201, content_type="application/json")


def _direct_upload(exchange: Exchange) -> Response:
    if not services().settings.s3_public_endpoint_url:
        raise MediaTypeUnsupportedError(
            "Send the file itself as the body: this server's storage has no public address."
        )
    values = parse_json(read_small_body(request.environ))
    exchange.record_request({"json": values})
    wanted = validate(UploadWish, values)
    filename = clean_filename(wanted.filename)
    upload_id = services().submission.record_direct_upload(sender(), filename, wanted.size_bytes)
    exchange.made_id = upload_id
    return _form_response(upload_id, filename, wanted.size_bytes)


def _form_response(upload_id: str, filename: str, size_bytes: int) -> Response:
    url, fields = services().submission.signed_form(upload_id, size_bytes)
    resource = DirectUploadResource(
        upload_id=upload_id, filename=filename, url=url, fields=fields, expires_in_seconds=FORM_SECONDS
    )
    return Response(resource.model_dump_json(), content_type="application/json")
