"""The base classes of everything in a response body, and how a response writes a moment in time."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """An object in a response body."""

    model_config = ConfigDict(frozen=True)


class OpenResource(Resource):
    """An object in a response body to which workers may add members of their own."""

    model_config = ConfigDict(frozen=True, extra="allow")


def utc_datetime(seconds: float | None) -> datetime | None:
    """Return seconds since 1970 as a UTC date and time; None when the moment is not known (None or 0)."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def job_path(job_id: str, root: str) -> str:
    """Return the path of a job; `root` is the path below which the API is published."""
    return f"{root}/v1/jobs/{job_id}"


def batch_path(batch_id: str, root: str) -> str:
    """Return the path of a batch; `root` is the path below which the API is published."""
    return f"{root}/v1/batches/{batch_id}"
