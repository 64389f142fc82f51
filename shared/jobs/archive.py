"""Writes and reads `job.json`, the document beside a job's outputs with the contents of its record.

shared/maintenance/job_rebuild.py restores records from these documents after Redis was lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from shared.jobs.claims import Claim
from shared.jobs.model import Job, JobState, Output
from shared.parsing.stored_records import check_schema
from shared.storage.object_keys import output_key
from shared.storage.object_storage import ObjectStorage

FILENAME = "job.json"


def write_document(
    storage: ObjectStorage,
    claim: Claim,
    state: JobState,
    *,
    outputs: Sequence[Output] = (),
    probed: Mapping[str, Any] | None = None,
    report: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    cached: bool = False,
) -> None:
    """Store the document of a job that is about to end. Raises StorageUnavailableError."""
    ended = replace(
        claim.job,
        state=state,
        fence=claim.fence,
        finished_at=time.time(),
        outputs=tuple(outputs),
        probed=probed,
        report=report,
        error=error,
        attempt_errors=(*claim.job.attempt_errors, *([error] if error else [])),
        cached=cached,
    )
    store_document(storage, ended)


def store_document(storage: ObjectStorage, job: Job) -> None:
    """Store an ended job's document under its fence. Raises StorageUnavailableError."""
    content = json.dumps(document_of(job), indent=1).encode()
    storage.put_bytes(content, output_key(job.id, job.fence, FILENAME), "application/json")


def document_of(job: Job) -> dict[str, Any]:
    """Return what is kept of an ended job. `Job.from_document` reads it."""
    return {
        "schema": job.request.schema,
        "id": job.id,
        "state": job.state.value,
        "request": json.loads(job.request.to_json()),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "attempt": job.attempt,
        "fence": job.fence,
        "version": job.version,
        "attempt_errors": [*job.attempt_errors],
        "outputs": [asdict(o) for o in job.outputs],
        "probed": job.probed,
        "report": job.report,
        "error": job.error,
        "cached": job.cached,
    }


def read_document(storage: ObjectStorage, key: str) -> dict[str, Any]:
    """Return the document of a job or batch.

    Raises StorageUnavailableError, SourceMissingError, RecordTooNewError.
    """
    document: dict[str, Any] = json.loads(b"".join(storage.open(key).chunks()))
    check_schema(document, key)
    return document


def newest_document(storage: ObjectStorage, job_id: str) -> str | None:
    """Return the key of the document of a job's last attempt, or None if there is none."""
    found = [key.split("/") for key, _, _ in storage.list_keys(f"jobs/{job_id}/")]
    fences = [int(fence) for _, _, fence, name in found if name == FILENAME]
    return output_key(job_id, max(fences), FILENAME) if fences else None
