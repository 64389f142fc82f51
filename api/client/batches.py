"""The API calls about batches, one method each, and their responses as typed values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from api.client.connection import Connection
from api.client.models import JobError

PAGE_SIZE = 200
"""The items or batches in one response."""


@dataclass(frozen=True)
class Batch:
    """A batch's state at the time of a response."""

    id: str
    name: str | None
    state: str
    total: int
    counts: Mapping[str, int]
    created_at: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether the batch is ended or canceled."""
        return self.state in {"ended", "canceled"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Parse a batch."""
        return cls(
            id=values["id"],
            name=values.get("name"),
            state=values["state"],
            total=values["total"] or 0,
            counts=values["counts"],
            created_at=values["created_at"],
            raw=values,
        )


@dataclass(frozen=True)
class BatchItem:
    """One track of a batch. `number` is its position in the manifest, from 1."""

    number: int
    track: str
    state: str
    job_id: str | None
    error: JobError | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Parse an item."""
        error = values.get("error")
        return cls(
            number=values["number"],
            track=values["track"] or "",
            state=values["state"],
            job_id=values.get("job_id"),
            error=JobError(error["code"], error["message"]) if error else None,
            raw=values,
        )


class Batches:
    """The batches of one server, as `Client.batches`."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def create(self, wanted: Mapping[str, Any], *, key: str) -> Batch:
        """Create a batch. A repeated call with the same key and request returns the same batch."""
        return Batch.from_json(self._server.send("POST", "/v1/batches", wanted, key=key).json())

    def read(self, batch_id: str) -> Batch:
        """Return a batch's current state."""
        return Batch.from_json(self._server.get(f"/v1/batches/{batch_id}").json())

    def newest(self, limit: int) -> Iterator[Batch]:
        """Yield batches, newest first."""
        query: dict[str, Any] = {}
        while limit > 0:
            page = self._server.get("/v1/batches", {**query, "limit": min(limit, PAGE_SIZE)}).json()
            yield from map(Batch.from_json, page["batches"])
            limit -= len(page["batches"])
            if not page["has_more"]:
                return
            query["starting_after"] = page["next_starting_after"]

    def items(self, batch_id: str, *, starting_after: int = 0) -> Iterator[list[BatchItem]]:
        """Yield pages of items in the manifest's order, beginning after the item number `starting_after`."""
        query: dict[str, Any] = {"limit": PAGE_SIZE, "starting_after": starting_after or None}
        while True:
            page = self._server.get(f"/v1/batches/{batch_id}/items", query).json()
            yield [BatchItem.from_json(i) for i in page["items"]]
            if not page["has_more"]:
                return
            query["starting_after"] = page["next_starting_after"]

    def cancel(self, batch_id: str) -> Batch:
        """Cancel a batch. Finished tracks keep their stems."""
        return Batch.from_json(self._server.send("POST", f"/v1/batches/{batch_id}/cancel").json())

    def retry_failed(self, batch_id: str) -> Batch:
        """Queue a batch's failed and canceled tracks again."""
        return Batch.from_json(self._server.send("POST", f"/v1/batches/{batch_id}/retry-failed").json())

    def rerun(self, batch_id: str) -> Batch:
        """Separate tracks again whose stems were made by another version of their engine than the server has now."""
        return Batch.from_json(self._server.send("POST", f"/v1/batches/{batch_id}/rerun").json())

    def report(self, batch_id: str, form: str) -> str:
        """Return a batch's report in the format `csv` or `jsonl`, one row per item."""
        return self._server.get(f"/v1/batches/{batch_id}/report.{form}").text
