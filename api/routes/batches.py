"""Batches over HTTP: submit, read, list, items, reports, cancel, retry what failed, delete."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import wraps

from flask import Blueprint, Response, request

from api.access.authentication import caller
from api.contract.batch_requests import BatchListQuery, BatchSubmission, ItemListQuery
from api.contract.batch_responses import (
    BatchListResource,
    BatchResource,
    ItemListResource,
    ItemResource,
    batch_document,
    batch_json,
    etag_of,
    item_document,
    report_csv,
    report_jsonl,
)
from api.contract.errors import MediaTypeUnsupportedError
from api.contract.job_requests import parse_json, query_values
from api.contract.openapi import Operation, describes
from api.request_bodies.body_stream import read_small_body
from api.routes.idempotency import Exchange, repeatable
from api.routes.jobs import sender
from api.services import services
from api.submission.batch_preflight import PreflightResource
from shared.batches.item_status import ItemStatus
from shared.batches.model import Batch, BatchState, batch_id_from, is_batch_id
from shared.errors import BatchNotFoundError, FieldsInvalidError
from shared.jobs.options import validate
from shared.redis_client.pagination import cursor_of

blueprint = Blueprint("batches", __name__, url_prefix="/v1/batches")

MAX_BODY_BYTES = 8 * 1024 * 1024
"""What a batch's submission may hold; more tracks want a manifest in storage."""

POLL_SECONDS = 2
"""When it is worth to ask again for a batch that goes on."""


@blueprint.post("")
@describes(
    Operation(
        "Submit a batch",
        tag="batches",
        bodies={"application/json": BatchSubmission},
        answers={202: BatchResource},
        problems=(400, 408, 410, 413, 415, 422, 503),
        repeatable=True,
    )
)
@repeatable(lambda batch_id, status: _accepted(find_batch(batch_id), status))
def submit(exchange: Exchange) -> Response:
    """Take a list of tracks, a manifest in storage, or all the audio below a prefix.

    The answer comes at once: workers read the manifest, and begin with its first tracks meanwhile. A manifest is JSONL
    (a track a line, as in `items`) or CSV with the columns `track`, `upload_id` or `bucket` and `key`, `engine`,
    `preset`, `format`, `bit_depth`, `bitrate_kbps`, `stems`, `start_seconds`, `duration_seconds`, `no_cache`,
    `metadata.<name>`, `parameters.<name>`. A bad line becomes an item in state `invalid` and harms no other.
    """
    values = _body()
    exchange.seal({"json": values})
    wanted = validate(BatchSubmission, values)
    batch_id = batch_id_from(exchange.resource_id)
    batch = services().batch_submissions.submit(sender(), wanted, batch_id=batch_id)
    exchange.made_id = batch.id
    return _accepted(batch, 202)


def _accepted(batch: Batch, status: int) -> Response:
    response = _answer(batch, status)
    response.headers["Location"] = f"/v1/batches/{batch.id}"
    return response


@blueprint.post("/preflight")
@describes(
    Operation(
        "Tell what a batch would need",
        tag="batches",
        bodies={"application/json": BatchSubmission},
        answers={200: PreflightResource},
        problems=(400, 408, 410, 413, 415, 422, 503),
    )
)
def preflight() -> Response:
    """Look a batch over and make nothing: how many tracks, which lines are bad, what hours and room it will take."""
    needs = services().preflight.look(sender(), validate(BatchSubmission, _body()))
    return Response(needs.model_dump_json(), content_type="application/json")


def _body() -> object:
    if request.mimetype != "application/json":
        raise MediaTypeUnsupportedError("A batch comes as application/json.")
    return parse_json(read_small_body(request.environ, MAX_BODY_BYTES))


@blueprint.get("/<batch_id>")
@describes(
    Operation(
        "Read a batch",
        tag="batches",
        answers={200: BatchResource},
        empty=(304,),
        problems=(404, 503),
        conditional=True,
    )
)
def read(batch_id: str) -> Response:
    """Tell how a batch stands: its items by state; one read of Redis, however many there are."""
    return _answer(find_batch(batch_id))


@blueprint.get("")
@describes(
    Operation(
        "List batches", tag="batches", query=BatchListQuery, answers={200: BatchListResource}, problems=(422, 503)
    )
)
def list_batches() -> Response:
    """Show batches, newest first."""
    query = validate(BatchListQuery, query_values(request.args))
    owner = None if caller().may("admin") else caller().owner
    try:
        ids, more = services().batches.list_ids(owner, limit=query.limit, before=query.starting_after)
    except BatchNotFoundError as error:
        raise FieldsInvalidError([{"field": "starting_after", "message": "is no batch any more"}]) from error
    batches = services().batches.read_many(ids)
    page = BatchListResource(
        batches=[BatchResource.model_validate(batch_document(b)) for b in batches],
        has_more=more,
        next_starting_after=(cursor_of(batches[-1]) if batches else ids[-1]) if more else None,
    )
    return Response(page.model_dump_json(), content_type="application/json")


@blueprint.get("/<batch_id>/items")
@describes(
    Operation(
        "List a batch's items",
        tag="batches",
        query=ItemListQuery,
        answers={200: ItemListResource},
        problems=(404, 422, 503),
    )
)
def list_items(batch_id: str) -> Response:
    """Show a batch's items in the manifest's order."""
    batch = find_batch(batch_id)
    query = validate(ItemListQuery, query_values(request.args))
    items, more = services().items.page(batch, limit=query.limit, after=query.starting_after, state=query.state)
    page = ItemListResource(
        items=[ItemResource.model_validate(item_document(batch, s)) for s in items],
        has_more=more,
        next_starting_after=items[-1].item.number if more else None,
    )
    return Response(page.model_dump_json(), content_type="application/json")


@blueprint.get("/<batch_id>/report.csv")
@describes(Operation("Read a batch's report as CSV", tag="batches", media={200: ("text/csv",)}, problems=(404, 503)))
def read_report_csv(batch_id: str) -> Response:
    """Send a row for each item, in the manifest's order, as things stand."""
    return _report(batch_id, report_csv, "csv", "text/csv; charset=utf-8")


@blueprint.get("/<batch_id>/report.jsonl")
@describes(
    Operation("Read a batch's report as JSONL", tag="batches", media={200: ("application/jsonl",)}, problems=(404, 503))
)
def read_report_jsonl(batch_id: str) -> Response:
    """Send a line of JSON for each item, in the manifest's order, as things stand."""
    return _report(batch_id, report_jsonl, "jsonl", "application/jsonl")


def changes(path: str, summary: str) -> Callable[[Callable[[Batch], Batch]], Callable[..., Response]]:
    """Make a POST of what changes a batch: 409 where its state forbids it, and the batch as it is then."""

    def made(change: Callable[[Batch], Batch]) -> Callable[..., Response]:
        @blueprint.post(f"/<batch_id>/{path}", endpoint=change.__name__)
        @describes(
            Operation(summary, tag="batches", answers={202: BatchResource}, problems=(404, 409, 503), repeatable=True)
        )
        @repeatable(lambda batch_id, status: _answer(find_batch(batch_id), status))
        @wraps(change)
        def view(exchange: Exchange, batch_id: str) -> Response:
            exchange.seal({})
            exchange.made_id = batch_id
            return _answer(change(find_batch(batch_id)), 202)

        return view

    return made


@changes("cancel", "Cancel a batch")
def cancel(batch: Batch) -> Batch:
    """Cancel what waits, what is in line and what runs; what is done stays."""
    canceled = services().batch_changes.cancel(batch.id)
    services().submission.dispatch()
    return canceled


@changes("retry-failed", "Retry a batch's failed items")
def retry_failed(batch: Batch) -> Batch:
    """Have the items done again that failed or were canceled; 409 where there are none."""
    return services().batch_changes.retry_failed(batch.id)


@changes("rerun", "Do a batch's items again that an older engine made")
def rerun(batch: Batch) -> Batch:
    """Have the items done again that another version of their engine made than workers have now.

    The answer comes at once, however many there are: workers look for them (`rerun_checked` tells how far they are),
    and each waits again once it is found. An item keeps its stems until it has new ones; 409 where there are none.
    """
    return services().batch_submissions.rerun(batch)


@blueprint.delete("/<batch_id>")
@describes(Operation("Delete a batch", tag="batches", empty=(204,), problems=(404, 409, 503)))
def delete(batch_id: str) -> Response:
    """Forget an ended batch with all its jobs; their objects are removed within minutes."""
    find_batch(batch_id)
    services().batch_submissions.remove(batch_id)
    return Response(status=204)


def find_batch(batch_id: str) -> Batch:
    """Return a batch of the caller's. Raises BatchNotFoundError, for somebody else's too."""
    if len(batch_id) != 32 or not batch_id.isalnum() or not is_batch_id(batch_id):
        raise BatchNotFoundError("There is no such batch.")
    batch = services().batches.read(batch_id)
    if not caller().may_see(batch.request.owner):
        raise BatchNotFoundError("There is no such batch.")
    return batch


def _report(
    batch_id: str, rows_of: Callable[[Batch, Iterable[ItemStatus]], Iterator[bytes]], ending: str, content_type: str
) -> Response:
    batch = find_batch(batch_id)
    rows = rows_of(batch, services().items.all(batch))
    # The first rows are made before the answer begins, so that a storage that is away shows as a status.
    first = next(rows, b"")
    response = Response(itertools.chain([first], rows), content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="batch-{batch.id[:8]}.{ending}"'
    return response


def _answer(batch: Batch, status: int = 200) -> Response:
    tag = etag_of(batch)
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    if batch.state in {BatchState.READING, BatchState.RUNNING}:
        headers["Retry-After"] = str(POLL_SECONDS)
    if "If-None-Match" in request.headers and request.method == "GET" and request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    return Response(batch_json(batch), status, headers, content_type="application/json")
