"""The bodies of webhooks, and the list of their events.

The Lua script that changes a job or batch also makes the message (`create_webhook_message`); api/webhooks sends it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from api.contract.resource import batch_path, job_path
from shared.batches.model import Batch, ItemState
from shared.jobs.model import Job, JobState

JOB_EVENTS: Mapping[str, JobState] = {
    "job.succeeded": JobState.SUCCEEDED,
    "job.failed": JobState.FAILED,
    "job.canceled": JobState.CANCELED,
}
"""The events of jobs, and the state that each reports. The job itself may have changed since."""

BATCH_EVENTS = ("batch.ended",)


def job_message(event: str, at: float, job: Job, root: str) -> bytes:
    """Return the body for an event of a job at `at`, in seconds since 1970. Links begin with `root`."""
    data: dict[str, Any] = {
        "id": job.id,
        # A newer version of this program may have announced an event that this version does not know.
        "state": JOB_EVENTS.get(event, job.state),
        "error": job.error,
        "metadata": job.request.metadata,
        "url": job_path(job.id, root),
    }
    return _body(event, at, data)


def batch_message(event: str, at: float, batch: Batch, root: str) -> bytes:
    """Return the body for an event of a batch at `at`, in seconds since 1970. Links begin with `root`."""
    data = {
        "id": batch.id,
        "name": batch.request.name,
        "state": batch.state,
        "total": batch.total,
        "counts": {state.value: batch.counts[state] for state in ItemState},
        "url": batch_path(batch.id, root),
    }
    return _body(event, at, data)


def _body(event: str, at: float, data: Mapping[str, Any]) -> bytes:
    content = {"type": event, "timestamp": datetime.fromtimestamp(at, UTC).isoformat(), "data": data}
    return json.dumps(content, separators=(",", ":")).encode()
