"""The endpoints of jobs: submit, read, list, cancel, retry, delete, webhook deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from flask import Blueprint, Response, request

from api.contract.errors import MediaTypeUnsupportedError
from api.contract.examples.job import (
    EXAMPLE_CANCELED_JOB,
    EXAMPLE_MIX_JOB,
    EXAMPLE_MIXED_JOB,
    EXAMPLE_QUEUED_JOB,
)
from api.contract.job_json import etag_of, job_json, job_resource
from api.contract.job_requests import (
    JobForm,
    JobListQuery,
    JobSubmission,
    MixSubmission,
    form_options,
    query_values,
)
from api.contract.job_responses import DeliveriesResource, DeliveryResource, JobListResource, JobResource
from api.contract.openapi import Operation, describes
from api.contract.resource import job_path, resource_response
from api.request_bodies.body_stream import MAX_FORM_BYTES, DigestOnly, body_blocks
from api.request_bodies.json_body import json_body
from api.request_bodies.multipart_form import receive_form
from api.routes.idempotency import Exchange, repeatable
from api.routes.job_pages import page_of
from api.routes.ownership import find_job, sender
from api.routes.prefer_wait import APPLIED, has_ended, preferred_wait_seconds, wait_until
from api.services import services
from api.submission.job_submission import new_upload_id
from shared.errors import IllegalTransitionError, JobNotFoundError, StemqueueError, TransientError
from shared.jobs.model import TERMINAL, Job, JobState
from shared.parsing.file_names import clean_filename
from shared.telemetry import tracing
from shared.validation import validate

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

MAX_RETRY_AFTER_SECONDS = 15
"""The longest Retry-After. If it is raised, clients poll less often and notice the end of a job later."""


@blueprint.post("")
@describes(
    Operation(
        "Submit a job",
        tag="jobs",
        bodies={"multipart/form-data": JobForm, "application/json": JobSubmission},
        answers={200: JobResource, 202: JobResource},
        examples={202: EXAMPLE_QUEUED_JOB},
        problems=(400, 404, 408, 409, 410, 413, 415, 422, 503),
        repeatable=True,
        waits=True,
    )
)
def submit() -> Response:
    """Submit a mixture for separation.

    A form's file is streamed to storage. A JSON body names a source: an upload, an object, a URL, or an output of
    another job. With `Prefer: wait=n` the response comes when the job has ended (status 200), or after n seconds.
    """
    response = _accept()
    seconds = preferred_wait_seconds()
    return _with_end(response, seconds) if seconds else response


def _accepted_response(job: Job, status: int) -> Response:
    return _job_response(job, status, location=job_path(job.id, request.script_root))


@repeatable(lambda job_id, status: _accepted_response(find_job(job_id), status))
def _accept(exchange: Exchange) -> Response:
    is_form = request.mimetype == "multipart/form-data"
    return _accepted_response(_submit_form(exchange) if is_form else _submit_json(exchange), 202)


def _with_end(accepted: Response, seconds: int) -> Response:
    """Wait for an accepted job. If waiting fails, return the response that it was accepted."""
    path = accepted.headers["Location"]
    try:
        job, waited = wait_until(find_job(path.rsplit("/", 1)[1]), seconds, has_ended)
    except (JobNotFoundError, TransientError):
        return accepted
    if not waited:
        return accepted
    response = _job_response(job, 200 if has_ended(job) else 202)
    response.headers["Location"] = path
    response.headers[APPLIED] = f"wait={seconds}"
    return response


def _submit_form(exchange: Exchange) -> Job:
    boundary = request.mimetype_params.get("boundary")
    if not boundary:
        raise MediaTypeUnsupportedError("The Content-Type of a multipart form must have a boundary.")
    submission, limit = services().submission, services().settings.max_upload_bytes
    blocks = body_blocks(request.environ, max_file_bytes=limit, form_bytes=MAX_FORM_BYTES)
    submission.check_ready(sender(), request.content_length or 0)
    upload_id = new_upload_id()
    with tracing.span("receive song"):
        form = receive_form(
            exchange.renewing(blocks),
            boundary,
            lambda: DigestOnly() if exchange.replays else submission.open_upload(upload_id),
            max_file_bytes=limit,
        )
    assert form.stored is not None  # noqa: S101 - receive_form raises if there is no file
    try:
        exchange.record_request({"fields": form.fields, "filename": form.filename, "sha256": form.stored.sha256})
        options = form_options(form.fields)
    except StemqueueError:
        submission.discard_upload(form.stored)
        raise
    filename = clean_filename(form.filename or "")
    return submission.submit_stored(sender(), options, upload_id, filename, form.stored, job_id=exchange.resource_id)


def _submit_json(exchange: Exchange) -> Job:
    values = json_body("The Content-Type of a job must be multipart/form-data or application/json.")
    exchange.record_request({"json": values})
    wanted = validate(JobSubmission, values)
    submission, source, job_id = services().submission, wanted.source, exchange.resource_id
    if source.job_id and source.output:
        return submission.submit_output(sender(), wanted, find_job(source.job_id), source.output, job_id=job_id)
    if source.s3:
        return submission.submit_object(sender(), wanted, source.s3.bucket, source.s3.key, job_id=job_id)
    if source.url:
        return submission.submit_url(sender(), wanted, source.url, job_id=job_id)
    return submission.submit_upload(sender(), wanted, source.upload_id or "", job_id=job_id)


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
    """Return a job. To poll, send its ETag as If-None-Match; one call costs one read of Redis.

    With `Prefer: wait=n` the response comes when the job has ended, or after n seconds. With If-None-Match as well, the
    response comes at the first change.
    """
    job, seconds = find_job(job_id), preferred_wait_seconds()
    if not seconds or has_ended(job):
        return _job_response(job)
    known = request.if_none_match
    job, waited = wait_until(
        job, seconds, lambda now: has_ended(now) or bool(known and not known.contains_weak(etag_of(now)))
    )
    response = _job_response(job)
    if waited:
        response.headers[APPLIED] = f"wait={seconds}"
    return response


@blueprint.get("")
@describes(
    Operation("List jobs", tag="jobs", query=JobListQuery, answers={200: JobListResource}, problems=(404, 422, 503))
)
def list_jobs() -> Response:
    """List jobs, newest first. Jobs of a batch are listed only with `batch`, in the order of its manifest."""
    jobs, cursor = page_of(validate(JobListQuery, query_values(request.args)))
    page = JobListResource(
        jobs=[job_resource(job, request.script_root) for job in jobs],
        has_more=cursor is not None,
        next_starting_after=cursor,
    )
    return Response(page.model_dump_json(), content_type="application/json")


@blueprint.delete("/<job_id>")
@describes(Operation("Delete a job", tag="jobs", empty=(204,), problems=(404, 409, 503)))
def delete(job_id: str) -> Response:
    """Delete an ended job with its stems, and its mixture unless other jobs use it."""
    check_not_in_batch(find_job(job_id), "deleted")
    services().submission.delete_job(job_id)
    return Response(status=204)


@blueprint.post("/<job_id>/cancel")
@describes(
    Operation(
        "Cancel a job",
        tag="jobs",
        answers={200: JobResource},
        examples={200: EXAMPLE_CANCELED_JOB},
        problems=(404, 409, 503),
        repeatable=True,
    )
)
@repeatable(lambda job_id, status: _job_response(find_job(job_id), status))
def cancel(exchange: Exchange, job_id: str) -> Response:
    """Cancel a job and those after it in its chain (`then`), as far as they have not ended.

    Running jobs stop within seconds. A job that has ended stays as it is. 409 `job_state_conflict` if there is nothing
    to cancel.
    """
    exchange.record_request({})
    exchange.made_id = job_id
    job = _cancel(find_job(job_id))
    services().submission.dispatch_jobs()
    return _job_response(job)


def _cancel(job: Job) -> Job:
    """Cancel a job and those after it in its chain. Raises IllegalTransitionError if all of them have ended."""
    try:
        return services().store.cancel(job.id)
    except JobNotFoundError:
        # Of an ended job of a batch only the result is kept; jobs after it may still have their records.
        n_canceled = 0
        for after in _jobs_after(job):
            with suppress(IllegalTransitionError):
                _cancel(after)
                n_canceled += 1
        if not n_canceled:
            raise IllegalTransitionError(f"The job has ended ({job.state}) and cannot be canceled.") from None
        return job


def _jobs_after(job: Job) -> Iterator[Job]:
    for follower in job.request.then:
        with suppress(JobNotFoundError):
            yield find_job(follower.job_id)


@blueprint.post("/<job_id>/retry")
@describes(
    Operation(
        "Retry a job",
        tag="jobs",
        answers={202: JobResource},
        examples={202: EXAMPLE_QUEUED_JOB},
        problems=(404, 409, 410, 422, 503),
        repeatable=True,
    )
)
@repeatable(lambda job_id, status: _job_response(find_job(job_id), status))
def retry(exchange: Exchange, job_id: str) -> Response:
    """Put a failed or canceled job back in the queue, with the jobs of its chain that ended because of it.

    410 `source_missing` if its source has been deleted. 422 `request_invalid` if these are more jobs than you may
    have queued.
    """
    exchange.record_request({})
    exchange.made_id = job_id
    check_not_in_batch(find_job(job_id), "retried")
    job = services().store.retry(job_id)
    services().submission.dispatch_jobs()
    return _job_response(job, 202)


@blueprint.post("/<job_id>/mixes")
@describes(
    Operation(
        "Mix a job's stems",
        tag="jobs",
        bodies={"application/json": MixSubmission},
        answers={200: JobResource, 202: JobResource},
        examples={200: EXAMPLE_MIXED_JOB, 202: EXAMPLE_MIX_JOB},
        problems=(400, 404, 409, 410, 413, 415, 422, 503),
        repeatable=True,
        waits=True,
    )
)
def mix(job_id: str) -> Response:
    """Make mixes of the stems of a job that has succeeded, without separating again.

    The response is a new job. Its outputs are the mixes, and its `source.job_id` names the job with the stems. The job
    with the stems cannot be deleted and does not expire until the new job has ended. 409 `stems_not_kept` if a stem
    is missing.
    """
    response = _accept_mixes(job_id=job_id)
    seconds = preferred_wait_seconds()
    return _with_end(response, seconds) if seconds else response


@repeatable(lambda job_id, status: _accepted_response(find_job(job_id), status))
def _accept_mixes(exchange: Exchange, job_id: str) -> Response:
    values = json_body("The Content-Type of this request must be application/json.")
    exchange.record_request({"json": values})
    source_job = find_job(job_id)
    wanted = validate(MixSubmission, values)
    job = services().submission.submit_mixes(sender(), source_job, wanted, job_id=exchange.resource_id)
    return _accepted_response(job, 202)


@blueprint.get("/<job_id>/deliveries")
@describes(Operation("List a job's webhooks", tag="jobs", answers={200: DeliveriesResource}, problems=(404, 503)))
def deliveries(job_id: str) -> Response:
    """List the attempts to deliver the job's webhooks."""
    find_job(job_id)
    entries = [DeliveryResource.model_validate(e) for e in services().deliveries.read_attempts(job_id)]
    return Response(DeliveriesResource(deliveries=entries).model_dump_json(), content_type="application/json")


def check_not_in_batch(job: Job, done: str) -> None:
    """Raise IllegalTransitionError for a job of a batch: when it has ended, the batch may keep only its result."""
    if job.batch_id:
        raise IllegalTransitionError(f"This job belongs to a batch and can only be {done} with it.")


def retry_after_seconds(job: Job) -> int:
    """Return the Retry-After of a job that has not ended: short near its end, longer far back in the queue."""
    if job.eta_seconds is None:
        return 1 if job.state is JobState.RUNNING else 2
    return max(1, min(MAX_RETRY_AFTER_SECONDS, round(job.eta_seconds / 10)))


def _job_response(job: Job, status: int = 200, *, location: str | None = None) -> Response:
    seconds = None if job.state in TERMINAL else retry_after_seconds(job)
    return resource_response(
        partial(job_json, job), etag_of(job), status, retry_after_seconds=seconds, location=location
    )
