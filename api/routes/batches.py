"""The endpoints of batches: submit, preflight, read, list, items, reports, cancel, retry, rerun, delete."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, wraps

from flask import Blueprint, Response, request

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
from api.contract.examples.batch import EXAMPLE_CANCELED_BATCH, EXAMPLE_CSV, EXAMPLE_JSONL, EXAMPLE_NEW_BATCH
from api.contract.job_requests import query_values
from api.contract.openapi import Operation, describes
from api.contract.resource import batch_path, resource_response
from api.request_bodies.json_body import json_body
from api.routes.idempotency import Exchange, repeatable
from api.routes.ownership import find_batch, listed_owner, sender
from api.services import services
from api.submission.batch_preflight import PreflightResource
from shared.batches.item_status import ItemStatus
from shared.batches.model import Batch, BatchState, batch_id_from
from shared.errors import BatchNotFoundError, FieldsInvalidError
from shared.redis_client.pagination import cursor_of
from shared.validation import validate

blueprint = Blueprint("batches", __name__, url_prefix="/v1/batches")

MAX_BODY_BYTES = 8 * 1024 * 1024
"""The largest body of a batch, in bytes. Larger batches need a manifest in storage."""

POLL_SECONDS = 2
"""The Retry-After of a batch that has not ended."""


@blueprint.post("")
@describes(
    Operation(
        "Submit a batch",
        tag="batches",
        bodies={"application/json": BatchSubmission},
        answers={202: BatchResource},
        examples={202: EXAMPLE_NEW_BATCH},
        problems=(400, 408, 410, 413, 415, 422, 503),
        repeatable=True,
    )
)
@repeatable(lambda batch_id, status: _accepted_response(find_batch(batch_id), status))
def submit(exchange: Exchange) -> Response:
    """Submit a list of tracks, a manifest in storage, or all audio files below a prefix.

    The response is immediate; workers then read the manifest and start its first tracks. A manifest is JSONL (one track
    per line, as in `items`) or CSV with the columns `track`, `upload_id` or `bucket` and `key`, `engine`,
    `preset`, `format`, `bit_depth`, `bitrate_kbps`, `stems`, `start_seconds`, `duration_seconds`, `no_cache`,
    `metadata.<name>`, `parameters.<name>`. An invalid line becomes an item in the state `invalid` and does not
    affect the others.
    """
    values = _body()
    exchange.record_request({"json": values})
    wanted = validate(BatchSubmission, values)
    batch_id = batch_id_from(exchange.resource_id)
    batch = services().batch_submitter.submit_batch(sender(), wanted, batch_id=batch_id)
    exchange.made_id = batch.id
    return _accepted_response(batch, 202)


def _accepted_response(batch: Batch, status: int) -> Response:
    return _batch_response(batch, status, location=batch_path(batch.id, request.script_root))


@blueprint.post("/preflight")
@describes(
    Operation(
        "Estimate what a batch needs",
        tag="batches",
        bodies={"application/json": BatchSubmission},
        answers={200: PreflightResource},
        problems=(400, 408, 410, 413, 415, 422, 503),
    )
)
def preflight() -> Response:
    """Check a batch without creating it: its tracks, its invalid lines, and the time and storage that it would need."""
    needs = services().preflight.estimate(sender(), validate(BatchSubmission, _body()))
    return Response(needs.model_dump_json(), content_type="application/json")


def _body() -> object:
    return json_body("The Content-Type of a batch must be application/json.", MAX_BODY_BYTES)


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
    """Return a batch with the number of its items in each state. Costs one read of Redis, for batches of any size."""
    return _batch_response(find_batch(batch_id))


@blueprint.get("")
@describes(
    Operation(
        "List batches", tag="batches", query=BatchListQuery, answers={200: BatchListResource}, problems=(422, 503)
    )
)
def list_batches() -> Response:
    """List batches, newest first."""
    query = validate(BatchListQuery, query_values(request.args))
    try:
        ids, more = services().batches.list_ids(listed_owner(), limit=query.limit, before=query.starting_after)
    except BatchNotFoundError as error:
        raise FieldsInvalidError(
            [{"field": "starting_after", "message": "names a batch that no longer exists"}]
        ) from error
    batches = services().batches.read_batches(ids)
    page = BatchListResource(
        batches=[BatchResource.model_validate(batch_document(b, request.script_root)) for b in batches],
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
    """List a batch's items in the order of its manifest."""
    batch = find_batch(batch_id)
    query = validate(ItemListQuery, query_values(request.args))
    items, more = services().items.read_page(batch, limit=query.limit, after=query.starting_after, state=query.state)
    page = ItemListResource(
        items=[ItemResource.model_validate(item_document(batch, s, request.script_root)) for s in items],
        has_more=more,
        next_starting_after=items[-1].item.number if more else None,
    )
    return Response(page.model_dump_json(), content_type="application/json")


@blueprint.get("/<batch_id>/report.csv")
@describes(
    Operation(
        "Read a batch's report as CSV",
        tag="batches",
        media={200: ("text/csv",)},
        examples={"text/csv": EXAMPLE_CSV},
        problems=(404, 503),
    )
)
def read_report_csv(batch_id: str) -> Response:
    """Return one row for each item and its current state, in the order of the manifest."""
    return _report(batch_id, report_csv, "csv", "text/csv; charset=utf-8")


@blueprint.get("/<batch_id>/report.jsonl")
@describes(
    Operation(
        "Read a batch's report as JSONL",
        tag="batches",
        media={200: ("application/jsonl",)},
        examples={"application/jsonl": EXAMPLE_JSONL},
        problems=(404, 503),
    )
)
def read_report_jsonl(batch_id: str) -> Response:
    """Return one line of JSON for each item and its current state, in the order of the manifest."""
    return _report(batch_id, report_jsonl, "jsonl", "application/jsonl")


def changes(
    path: str, summary: str, example: Mapping[str, object] | None = None
) -> Callable[[Callable[[Batch], Batch]], Callable[..., Response]]:
    """Make a POST endpoint of a change: it responds with the changed batch, or 409 if its state does not allow it."""

    def made(change: Callable[[Batch], Batch]) -> Callable[..., Response]:
        @blueprint.post(f"/<batch_id>/{path}", endpoint=change.__name__)
        @describes(
            Operation(
                summary,
                tag="batches",
                answers={202: BatchResource},
                examples={202: example} if example else {},
                problems=(404, 409, 503),
                repeatable=True,
            )
        )
        @repeatable(lambda batch_id, status: _batch_response(find_batch(batch_id), status))
        @wraps(change)
        def view(exchange: Exchange, batch_id: str) -> Response:
            exchange.record_request({})
            exchange.made_id = batch_id
            return _batch_response(change(find_batch(batch_id)), 202)

        return view

    return made


@changes("cancel", "Cancel a batch", EXAMPLE_CANCELED_BATCH)
def cancel(batch: Batch) -> Batch:
    """Cancel the waiting, queued and running items. Items that have ended stay as they are."""
    canceled = services().batch_changes.cancel(batch.id)
    services().submission.dispatch_jobs()
    return canceled


@changes("retry-failed", "Retry a batch's failed items")
def retry_failed(batch: Batch) -> Batch:
    """Run the failed and canceled items again; 409 if there are none."""
    return services().batch_changes.retry_failed(batch.id)


@changes("rerun", "Rerun a batch's items made by another engine version")
def rerun(batch: Batch) -> Batch:
    """Run items again if their stems were made by another engine version than the one that workers have now.

    The response is immediate. Workers then look for such items (`rerun_checked` shows their progress), and each of them
    goes back to `waiting`. An item keeps its stems until the new ones are ready. 409 if there are no such items.
    """
    return services().batch_submitter.rerun_batch(batch)


@blueprint.delete("/<batch_id>")
@describes(Operation("Delete a batch", tag="batches", empty=(204,), problems=(404, 409, 503)))
def delete(batch_id: str) -> Response:
    """Delete an ended batch with all its jobs. Their stored objects are removed within minutes."""
    find_batch(batch_id)
    services().batch_submitter.delete_batch(batch_id)
    return Response(status=204)


def _report(
    batch_id: str,
    write_rows: Callable[[Batch, Iterable[ItemStatus], str], Iterator[bytes]],
    extension: str,
    content_type: str,
) -> Response:
    batch = find_batch(batch_id)
    rows = write_rows(batch, services().items.iterate(batch), request.script_root)
    # Read before the response starts, so that unavailable storage can still be answered with an error status.
    first = next(rows, b"")
    response = Response(itertools.chain([first], rows), content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="batch-{batch.id[:8]}.{extension}"'
    return response


def _batch_response(batch: Batch, status: int = 200, *, location: str | None = None) -> Response:
    seconds = POLL_SECONDS if batch.state in {BatchState.READING, BatchState.RUNNING} else None
    return resource_response(
        partial(batch_json, batch), etag_of(batch), status, retry_after_seconds=seconds, location=location
    )
