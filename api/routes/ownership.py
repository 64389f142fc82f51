"""Decides what a caller may see: the only module that compares owners of jobs and batches.

A record of another owner is answered exactly like one that does not exist, so ids cannot be probed. Keys with the scope
`admin` see every owner's records. Uploads compare owners where they are read (shared/jobs/uploads.py).
"""

from __future__ import annotations

import re

from flask import g

from api.access.authentication import caller
from api.monitoring.request_trace import received_headers
from api.services import services
from api.submission.job_submission import Sender
from shared.batches.model import Batch, is_batch_id
from shared.errors import BatchNotFoundError, JobNotFoundError
from shared.jobs.model import Job
from shared.telemetry import tracing

ID = re.compile(r"[0-9a-f]{32}")


def sender() -> Sender:
    """Return what this request's new jobs, batches and uploads are recorded with."""
    return Sender(caller().owner, g.request_id, tracing.headers(received_headers()))


def listed_owner() -> str | None:
    """Return the owner whose records the caller may list; None if the caller may list those of all owners."""
    return None if caller().may("admin") else caller().owner


def find_job(job_id: str) -> Job:
    """Return a job that the caller may see.

    Raises JobNotFoundError, also for another owner's job; StoreUnavailableError.
    """
    if not ID.fullmatch(job_id):
        raise JobNotFoundError("There is no such job.")
    job = services().items.read_job(job_id)
    if not caller().may_see(job.request.owner):
        raise JobNotFoundError("There is no such job.")
    return job


def find_batch(batch_id: str) -> Batch:
    """Return a batch that the caller may see.

    Raises BatchNotFoundError, also for another owner's batch; StoreUnavailableError.
    """
    if not ID.fullmatch(batch_id) or not is_batch_id(batch_id):
        raise BatchNotFoundError("There is no such batch.")
    batch = services().batches.read_batch(batch_id)
    if not caller().may_see(batch.request.owner):
        raise BatchNotFoundError("There is no such batch.")
    return batch
