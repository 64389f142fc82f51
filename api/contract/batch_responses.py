"""What clients get to see of batches and their items.

Owns the shape of the answers and of the reports' rows, and the links in them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from pydantic_core import to_json

from api.contract.job_responses import Resource
from shared.batches.export_names import export_keys
from shared.batches.item_status import ItemStatus
from shared.batches.model import Batch, BatchState, ItemState, job_id_of


class CountsResource(Resource):
    """How many items are in each state."""

    waiting: int = Field(description="No job was made of them yet")
    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int
    invalid: int = Field(description="Their lines are bad")


class ItemErrorResource(Resource):
    """Why an item failed, or its line is invalid."""

    code: str
    message: str


class BatchLinksResource(Resource):
    """Where to go on; what the batch's state forbids is null."""

    self: str
    items: str
    report_csv: str
    report_jsonl: str
    cancel: str | None
    retry_failed: str | None
    rerun: str | None


class BatchResource(Resource):
    """A batch as it stands."""

    id: str
    name: str | None
    state: BatchState
    priority: str
    total: int = Field(description="Items read so far; all of them, once it is no longer `reading`")
    counts: CountsResource
    audio_seconds: float = Field(description="Separated so far")
    error: ItemErrorResource | None = Field(description="Why the manifest could not be read to its end")
    rerun_checked: int | None = Field(
        description="While a rerun looks for items that another version made: how many it has looked at; else null"
    )
    created_at: datetime
    ended_at: datetime | None
    expires_at: datetime | None = Field(description="When the batch is removed, with its jobs and their stems")
    webhook_url: str | None
    links: BatchLinksResource


class BatchListResource(Resource):
    """A page of batches, newest first."""

    batches: list[BatchResource]
    has_more: bool
    next_starting_after: str | None = Field(description="`starting_after` of the next page")


class ItemOutputResource(Resource):
    """One stem of an item."""

    name: str
    url: str


class ItemResource(Resource):
    """One track of a batch. What is not known yet, or never will be, is null."""

    number: int = Field(description="Its place in the manifest, from 1")
    line: int = Field(description="Its line in the manifest, from 1")
    track: str
    state: ItemState
    job_id: str | None
    error: ItemErrorResource | None
    attempts: int
    duration_seconds: float | None
    seconds: float | None = Field(description="How long the separation took")
    real_time_factor: float | None = Field(description="duration_seconds / seconds")
    input_sha256: str | None
    engine: str | None
    engine_version: str | None
    cached: bool
    outputs: list[ItemOutputResource]
    exported: list[str] = Field(description="Where copies of the stems are, as s3://bucket/key")


class ItemListResource(Resource):
    """A page of a batch's items, in the manifest's order."""

    items: list[ItemResource]
    has_more: bool
    next_starting_after: int | None = Field(description="`starting_after` of the next page")


REPORT_COLUMNS = (
    *("number", "line", "track", "state", "job_id", "input_sha256", "duration_seconds", "outputs", "attempts"),
    *("error_code", "error_message", "seconds", "real_time_factor", "engine", "engine_version", "cached", "exported"),
)


def batch_document(batch: Batch) -> dict[str, Any]:
    """Return the members of a BatchResource."""
    return {
        "id": batch.id,
        "name": batch.request.name,
        "state": batch.state.value,
        "priority": batch.request.priority,
        "total": batch.total,
        "counts": {state.value: batch.counts[state] for state in ItemState},
        "audio_seconds": round(batch.audio_seconds, 3),
        "error": batch.error,
        "rerun_checked": min(batch.total, batch.rerun.next_number - 1) if batch.rerun else None,
        "created_at": _moment(batch.created_at),
        "ended_at": _moment(batch.ended_at),
        "expires_at": _moment(batch.expires_at),
        "webhook_url": batch.request.webhook_url,
        "links": _links(batch),
    }


def batch_json(batch: Batch) -> bytes:
    """Return a batch as clients see it, as JSON."""
    return to_json(batch_document(batch))


def etag_of(batch: Batch) -> str:
    """Return the tag of a batch's representation."""
    return f"{batch.id[:8]}-{batch.version}"


def item_document(batch: Batch, standing: ItemStatus) -> dict[str, Any]:
    """Return the members of an ItemResource."""
    item, result = standing.item, standing.result
    job_id = job_id_of(batch.id, item.number) if standing.has_job else None
    error = item.error
    if result.error_code and standing.state is ItemState.FAILED:
        error = {"code": result.error_code, "message": result.error_message or ""}
    factor = result.duration_seconds / result.seconds if result.duration_seconds and result.seconds else None
    return {
        "number": item.number,
        "line": item.line,
        "track": item.track,
        "state": standing.state.value,
        "job_id": job_id,
        "error": error,
        "attempts": result.attempts,
        "duration_seconds": result.duration_seconds,
        "seconds": result.seconds,
        "real_time_factor": None if factor is None else round(factor, 2),
        "input_sha256": result.input_sha256 or (item.source or {}).get("sha256"),
        "engine": (item.request or {}).get("engine"),
        "engine_version": result.engine_version,
        "cached": result.cached,
        "outputs": [{"name": name, "url": f"/v1/jobs/{job_id}/stems/{name}"} for name in result.stems],
        "exported": _exported(batch, standing),
    }


def report_jsonl(batch: Batch, standings: Iterable[ItemStatus]) -> Iterator[bytes]:
    """Yield the report's rows as JSON, a line each."""
    for standing in standings:
        yield to_json(item_document(batch, standing)) + b"\n"


def report_csv(batch: Batch, standings: Iterable[ItemStatus]) -> Iterator[bytes]:
    """Yield the report as a table; outputs are separated by blanks."""
    text = io.StringIO()
    writer = csv.DictWriter(text, REPORT_COLUMNS)
    writer.writeheader()
    for standing in standings:
        members = item_document(batch, standing)
        error = members.pop("error") or {}
        outputs = " ".join(output["url"] for output in members.pop("outputs"))
        exported = " ".join(members.pop("exported"))
        row = {
            **members,
            "outputs": outputs,
            "exported": exported,
            "error_code": error.get("code"),
            "error_message": error.get("message"),
        }
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _exported(batch: Batch, standing: ItemStatus) -> list[str]:
    export = batch.request.export
    if export is None or standing.state is not ItemState.SUCCEEDED:
        return []
    keys = export_keys(export, standing.item, standing.result.stems)
    return [f"s3://{export.bucket}/{key}" for key in keys.values()]


def _cell(value: object) -> object:
    # A spreadsheet takes text that begins so for a formula, and tracks are named by strangers.
    return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value


def _links(batch: Batch) -> dict[str, str | None]:
    base = f"/v1/batches/{batch.id}"
    goes_on = batch.state in {BatchState.READING, BatchState.RUNNING}
    retries = batch.counts[ItemState.FAILED] + batch.counts[ItemState.CANCELED]
    return {
        "self": base,
        "items": f"{base}/items",
        "report_csv": f"{base}/report.csv",
        "report_jsonl": f"{base}/report.jsonl",
        "cancel": f"{base}/cancel" if goes_on else None,
        "retry_failed": f"{base}/retry-failed" if retries else None,
        "rerun": f"{base}/rerun" if batch.counts[ItemState.SUCCEEDED] else None,
    }


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
