"""The response bodies of batches and their items, and the rows of a batch's report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field
from pydantic_core import to_json

from api.contract.examples.batch import EXAMPLE_BATCH, EXAMPLE_BATCHES, EXAMPLE_ITEMS
from api.contract.resource import Resource, batch_path, utc_datetime
from shared.batches.export_names import export_keys
from shared.batches.item_status import ItemStatus
from shared.batches.model import Batch, BatchState, ItemState, job_id_of
from shared.parsing.spreadsheet_cells import harmless_cell


class CountsResource(Resource):
    """How many items are in each state."""

    waiting: int = Field(description="Items that have no job yet")
    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int
    invalid: int = Field(description="Items whose lines in the manifest are invalid")


class ItemErrorResource(Resource):
    """Why an item failed, or why its line is invalid."""

    code: str
    message: str


class BatchLinksResource(Resource):
    """Related addresses; null for a change that the batch's state does not allow."""

    self: str
    items: str
    report_csv: str
    report_jsonl: str
    cancel: str | None
    retry_failed: str | None
    rerun: str | None


class LeftOutResource(Resource):
    """Objects below a batch's prefix that are not treated as songs, grouped by reason."""

    reason: str = Field(
        description="`system`: files of an operating system or a file server, such as `.DS_Store`; `other`: files "
        "whose names belong to pictures, texts, archives and the like"
    )
    count: int
    examples: list[str] = Field(description="Keys of the first ones, below the prefix")


class BatchResource(Resource):
    """The current state of a batch."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_BATCH]})

    id: str
    name: str | None
    state: BatchState
    priority: str
    total: int = Field(description="Items read so far; complete once the state is no longer `reading`")
    counts: CountsResource
    left_out: list[LeftOutResource] = Field(
        description="Objects below the prefix that were left out so far. All other objects become items. Empty for "
        "batches without a prefix"
    )
    audio_seconds: float = Field(description="Seconds of audio separated so far")
    error: ItemErrorResource | None = Field(description="Why the rest of the manifest could not be read")
    rerun_checked: int | None = Field(
        description="Number of items that a rerun has checked so far for another engine version; null if no rerun is "
        "running"
    )
    created_at: datetime
    ended_at: datetime | None
    expires_at: datetime | None = Field(description="When the batch will be deleted, with its jobs and their stems")
    webhook_url: str | None
    links: BatchLinksResource


class BatchListResource(Resource):
    """A page of batches, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_BATCHES]})

    batches: list[BatchResource]
    has_more: bool
    next_starting_after: str | None = Field(description="Pass it as `starting_after` to get the next page")


class ItemOutputResource(Resource):
    """One stem of an item."""

    name: str
    url: str


class ItemResource(Resource):
    """One track of a batch. Values that are not known are null."""

    number: int = Field(description="Its position in the manifest, from 1")
    line: int = Field(description="Its line number in the manifest, from 1")
    track: str
    state: ItemState
    job_id: str | None
    error: ItemErrorResource | None
    attempts: int
    duration_seconds: float | None
    seconds: float | None = Field(description="Duration of the separation in seconds")
    real_time_factor: float | None = Field(description="duration_seconds / seconds")
    input_sha256: str | None
    engine: str | None
    engine_version: str | None
    cached: bool
    tempo_bpm: float | None = Field(None, description="Beats per minute; null if not sure", examples=[123.9])
    key: str | None = Field(None, description="Tonic and mode; null if not sure", examples=["F# minor"])
    notes: list[str] = Field(
        default_factory=list,
        description="Notes from the report about the file, for example that it is truncated; at most 5 sentences",
        examples=[["The file declares 3.00 s but contains 2.00 s: it may be truncated or damaged."]],
    )
    outputs: list[ItemOutputResource]
    exported: list[str] = Field(description="Addresses of the exported stems, as s3://bucket/key")


class ItemListResource(Resource):
    """A page of a batch's items, in the manifest's order."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_ITEMS]})

    items: list[ItemResource]
    has_more: bool
    next_starting_after: int | None = Field(description="Pass it as `starting_after` to get the next page")


REPORT_COLUMNS = (
    *("number", "line", "track", "state", "job_id", "input_sha256", "duration_seconds", "outputs", "attempts"),
    *("error_code", "error_message", "seconds", "real_time_factor", "engine", "engine_version", "cached", "exported"),
    *("tempo_bpm", "key", "notes"),
)


def batch_document(batch: Batch, root: str) -> dict[str, Any]:
    """Return the members of a BatchResource. Links begin with `root`, the path below which the API is published."""
    return {
        "id": batch.id,
        "name": batch.request.name,
        "state": batch.state.value,
        "priority": batch.request.priority,
        "total": batch.total,
        "counts": {state.value: batch.counts[state] for state in ItemState},
        "left_out": [{"reason": r, **values} for r, values in batch.left_out.to_json().items()],
        "audio_seconds": round(batch.audio_seconds, 3),
        "error": batch.error,
        "rerun_checked": min(batch.total, batch.rerun.next_number - 1) if batch.rerun else None,
        "created_at": utc_datetime(batch.created_at),
        "ended_at": utc_datetime(batch.ended_at),
        "expires_at": utc_datetime(batch.expires_at),
        "webhook_url": batch.request.webhook_url,
        "links": _links(batch_path(batch.id, root), batch),
    }


def batch_json(batch: Batch, root: str) -> bytes:
    """Return a BatchResource as JSON."""
    return to_json(batch_document(batch, root))


def etag_of(batch: Batch) -> str:
    """Return the ETag of a batch; it changes with each change of the record."""
    return f"{batch.id[:8]}-{batch.version}"


def item_document(batch: Batch, standing: ItemStatus, root: str) -> dict[str, Any]:
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
        "tempo_bpm": result.tempo_bpm,
        "key": result.key,
        "notes": list(result.notes or ()),
        "outputs": [
            {"name": name, "url": f"{root}/v1/jobs/{job_id}/{collection}/{name}"}
            for collection, names in (("stems", result.stems), ("mixes", result.mixes or ()))
            for name in names
        ],
        "exported": _exported(batch, standing),
    }


def report_jsonl(batch: Batch, standings: Iterable[ItemStatus], root: str) -> Iterator[bytes]:
    """Yield the report's rows as JSON lines."""
    for standing in standings:
        yield to_json(item_document(batch, standing, root)) + b"\n"


def report_csv(batch: Batch, standings: Iterable[ItemStatus], root: str) -> Iterator[bytes]:
    """Yield the report as CSV; several outputs in a cell are separated by spaces."""
    text = io.StringIO()
    writer = csv.DictWriter(text, REPORT_COLUMNS)
    writer.writeheader()
    for standing in standings:
        members = item_document(batch, standing, root)
        error = members.pop("error") or {}
        outputs = " ".join(output["url"] for output in members.pop("outputs"))
        exported = " ".join(members.pop("exported"))
        row = {
            **members,
            "notes": " ".join(members["notes"]),
            "outputs": outputs,
            "exported": exported,
            "error_code": error.get("code"),
            "error_message": error.get("message"),
        }
        writer.writerow({name: harmless_cell(value) for name, value in row.items()})
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _exported(batch: Batch, standing: ItemStatus) -> list[str]:
    export = batch.request.export
    if export is None or standing.state is not ItemState.SUCCEEDED:
        return []
    keys = export_keys(export, standing.item, standing.result.audio_outputs)
    return [f"s3://{export.bucket}/{key}" for key in keys.values()]


def _links(base: str, batch: Batch) -> dict[str, str | None]:
    is_active = batch.state in {BatchState.READING, BatchState.RUNNING}
    retries = batch.counts[ItemState.FAILED] + batch.counts[ItemState.CANCELED]
    return {
        "self": base,
        "items": f"{base}/items",
        "report_csv": f"{base}/report.csv",
        "report_jsonl": f"{base}/report.jsonl",
        "cancel": f"{base}/cancel" if is_active else None,
        "retry_failed": f"{base}/retry-failed" if retries else None,
        "rerun": f"{base}/rerun" if batch.counts[ItemState.SUCCEEDED] else None,
    }
