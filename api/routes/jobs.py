"""Jobs over HTTP: submit, read, list, cancel, retry, delete."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from api.access.authentication import caller
from api.contract.errors import MediaTypeUnsupportedError
from api.contract.job_json import etag_of, job_json, job_resource
from api.contract.job_requests import JobForm, JobListQuery, JobSubmission, form_options, parse_json, query_values
from api.contract.job_responses import DeliveriesResource, DeliveryResource, JobListResource, JobResource
from api.contract.openapi import Operation, describes
from api.request_bodies.body_stream import MAX_FORM_BYTES, DigestOnly, body_blocks, read_small_body
from api.request_bodies.multipart_form import receive_form
from api.routes.idempotency import Exchange, repeatable
from api.routes.job_pages import page_of
from api.routes.prefer_wait import APPLIED, has_ended, preferred_wait_seconds, wait_until
from api.services import services
from api.submission.job_submission import Sender, new_upload_id
from shared.errors import IllegalTransitionError, JobNotFoundError, StemqueueError, TransientError
from shared.jobs.model import TERMINAL, Job, JobState
from shared.jobs.options import clean_filename, validate

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

MAX_RETRY_AFTER_SECONDS = 15
"""The longest pause between polls that is asked for; raising it shows an end later."""


@blueprint.post("")
@describes(
    Operation(
        "Submit a job",
        tag="jobs",
        bodies={"multipart/form-data": JobForm, "application/json": JobSubmission},
        answers={200: JobResource, 202: JobResource},
        problems=(400, 408, 410, 413, 415, 422, 503),
        repeatable=True,
        waits=True,
    )
)
def submit() -> Response:
    """Take a mixture and put its separation in line.

    As a form the file is streamed to storage; as JSON the job names an upload that is there. With `Prefer: wait=n`
    the answer comes when the job has ended, with status 200, or after n seconds.
    """
    response = _accept()
    seconds = preferred_wait_seconds()
    return _with_end(response, seconds) if seconds else response


def _accepted(job: Job, status: int) -> Response:
    response = _answer(job, status)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return response


@repeatable(lambda job_id, status: _accepted(find_job(job_id), status))
def _accept(exchange: Exchange) -> Response:
    is_form = request.mimetype == "multipart/form-data"
    return _accepted(_submit_form(exchange) if is_form else _submit_json(exchange), 202)


def _with_end(accepted: Response, seconds: int) -> Response:
    """Return how an accepted job ended; whatever goes wrong while one waits, it stays accepted."""
    path = accepted.headers["Location"]
    try:
        job, waited = wait_until(find_job(path.rsplit("/", 1)[1]), seconds, has_ended)
    except (JobNotFoundError, TransientError):
        return accepted
    if not waited:
        return accepted
    response = _answer(job, 200 if has_ended(job) else 202)
    response.headers["Location"] = path
    response.headers[APPLIED] = f"wait={seconds}"
    return response


def _submit_form(exchange: Exchange) -> Job:
    boundary = request.mimetype_params.get("boundary")
    if not boundary:
        raise MediaTypeUnsupportedError("The Content-Type of a form needs a boundary.")
    submission, limit = services().submission, services().settings.max_upload_bytes
    blocks = body_blocks(request.environ, max_file_bytes=limit, form_bytes=MAX_FORM_BYTES)
    submission.demand_ready(sender(), request.content_length or 0)
    upload_id = new_upload_id()
    form = receive_form(
        exchange.renewing(blocks),
        boundary,
        lambda: DigestOnly() if exchange.replays else submission.open_upload(upload_id),
        max_file_bytes=limit,
    )
    assert form.stored is not None  # noqa: S101 - a form without a file was refused
    try:
        exchange.seal({"fields": form.fields, "filename": form.filename, "sha256": form.stored.sha256})
        options = form_options(form.fields)
    except StemqueueError:
        submission.take_back(form.stored)
        raise
    filename = clean_filename(form.filename or "")
    return submission.submit_stored(sender(), options, upload_id, filename, form.stored, job_id=exchange.resource_id)


def _submit_json(exchange: Exchange) -> Job:
    if request.mimetype != "application/json":
        raise MediaTypeUnsupportedError("A job comes as multipart/form-data or as application/json.")
    values = parse_json(read_small_body(request.environ))
    exchange.seal({"json": values})
    wanted = validate(JobSubmission, values)
    submission, source, job_id = services().submission, wanted.source, exchange.resource_id
    if source.s3:
        return submission.submit_object(sender(), wanted, source.s3.bucket, source.s3.key, job_id=job_id)
    if source.url:
        return submission.submit_url(sender(), wanted, source.url, job_id=job_id)
    return submission.submit_known(sender(), wanted, source.upload_id or "", job_id=job_id)


def sender() -> Sender:
    """Return on whose behalf this request makes things."""
    return Sender(caller().owner, g.request_id)


@blueprint.get("/<job_id>")
@describes(
    Operation(
        "Read a job",
        tag="jobs",
        answers={200: JobResource},
        empty=(304,),
        problems=(404, 503),
        conditional=True,
        waits=True,
    )
)
def read(job_id: str) -> Response:
    """Tell how a job stands; one read of Redis. An ETag makes polling cheaper still.

    With `Prefer: wait=n` the answer comes when the job has ended, or after n seconds; with If-None-Match as well, at
    the first change.
    """
    job, seconds = find_job(job_id), preferred_wait_seconds()
    if not seconds or has_ended(job):
        return _answer(job)
    known = request.if_none_match
    job, waited = wait_until(
        job, seconds, lambda now: has_ended(now) or bool(known and not known.contains_weak(etag_of(now)))
    )
    response = _answer(job)
    if waited:
        response.headers[APPLIED] = f"wait={seconds}"
    return response


@blueprint.get("")
@describes(
    Operation("List jobs", tag="jobs", query=JobListQuery, answers={200: JobListResource}, problems=(404, 422, 503))
)
def list_jobs() -> Response:
    """Show jobs, newest first; those of batches only when one is named, in its order."""
    jobs, cursor = page_of(validate(JobListQuery, query_values(request.args)))
    page = JobListResource(
        jobs=[job_resource(job) for job in jobs], has_more=cursor is not None, next_starting_after=cursor
    )
    return Response(page.model_dump_json(), content_type="application/json")


@blueprint.delete("/<job_id>")
@describes(Operation("Delete a job", tag="jobs", empty=(204,), problems=(404, 409, 503)))
def delete(job_id: str) -> Response:
    """Forget an ended job and remove its stems, and its mixture unless other jobs use it."""
    demand_alone(find_job(job_id), "deleted")
    services().submission.remove(job_id)
    return Response(status=204)


@blueprint.post("/<job_id>/cancel")
@describes(Operation("Cancel a job", tag="jobs", answers={200: JobResource}, problems=(404, 409, 503), repeatable=True))
@repeatable(lambda job_id, status: _answer(find_job(job_id), status))
def cancel(exchange: Exchange, job_id: str) -> Response:
    """End a queued or running job; a running one is stopped within seconds."""
    exchange.seal({})
    exchange.made_id = job_id
    job = find_job(job_id)
    if has_ended(job):
        raise IllegalTransitionError(f"A job that is {job.state} cannot be canceled.")
    job = services().store.cancel(job_id)
    services().submission.dispatch()
    return _answer(job)


@blueprint.post("/<job_id>/retry")
@describes(Operation("Retry a job", tag="jobs", answers={202: JobResource}, problems=(404, 409, 503), repeatable=True))
@repeatable(lambda job_id, status: _answer(find_job(job_id), status))
def retry(exchange: Exchange, job_id: str) -> Response:
    """Put a failed or canceled job back in line."""
    exchange.seal({})
    exchange.made_id = job_id
    demand_alone(find_job(job_id), "retried")
    job = services().store.retry(job_id)
    services().submission.dispatch()
    return _answer(job, 202)


@blueprint.get("/<job_id>/deliveries")
@describes(Operation("List a job's webhooks", tag="jobs", answers={200: DeliveriesResource}, problems=(404, 503)))
def deliveries(job_id: str) -> Response:
    """Tell how the job's webhooks were delivered, try by try."""
    find_job(job_id)
    entries = [DeliveryResource.model_validate(e) for e in services().deliveries.log(job_id)]
    return Response(DeliveriesResource(deliveries=entries).model_dump_json(), content_type="application/json")


def find_job(job_id: str) -> Job:
    """Return a job of the caller's. Raises JobNotFoundError, for somebody else's too."""
    if len(job_id) != 32 or not job_id.isalnum():
        raise JobNotFoundError("There is no such job.")
    job = services().items.read_job(job_id)
    if not caller().may_see(job.request.owner):
        raise JobNotFoundError("There is no such job.")
    return job


def demand_alone(job: Job, done: str) -> None:
    """Raise IllegalTransitionError for a job that belongs to a batch: of an ended one only the result may be left."""
    if job.batch_id:
        raise IllegalTransitionError(f"A job of a batch is {done} with its batch.")


def retry_after_seconds(job: Job) -> int:
    """Return when it is worth to ask again: often near the end, seldom at the far end of a queue."""
    if job.eta_seconds is None:
        return 1 if job.state is JobState.RUNNING else 2
    return max(1, min(MAX_RETRY_AFTER_SECONDS, round(job.eta_seconds / 10)))


def _answer(job: Job, status: int = 200) -> Response:
    tag = etag_of(job)
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    if job.state not in TERMINAL:
        headers["Retry-After"] = str(retry_after_seconds(job))
    is_conditional = "HTTP_IF_NONE_MATCH" in request.environ and request.method in {"GET", "HEAD"}
    if is_conditional and request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    return Response(job_json(job), status, headers, content_type="application/json")
