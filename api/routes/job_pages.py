"""Pages of jobs: all jobs of an owner, newest first, or the jobs of one batch in the order of its manifest."""

from __future__ import annotations

from api.contract.job_requests import JobListQuery
from api.routes.ownership import find_batch, listed_owner
from api.services import services
from shared.batches.model import Batch, ItemState, batch_of, job_id_of
from shared.errors import FieldsInvalidError, JobNotFoundError
from shared.jobs.model import Job, JobState
from shared.redis_client.pagination import cursor_of

SCAN_JOBS = 200
"""How many records are read at once when a list is filtered by state."""

MAX_SCANS = 10
"""How often one request reads more records; the page it returns may then have fewer jobs than `limit`."""

Page = tuple[list[Job], str | None]
"""The jobs of a page and the cursor of the next page; None on the last page."""


def page_of(query: JobListQuery) -> Page:
    """Return the requested page. Raises FieldsInvalidError, BatchNotFoundError, StoreUnavailableError."""
    if query.batch is not None:
        return _page_of_batch(query, find_batch(query.batch))
    jobs, cursor = _page_of_all(query)
    return _with_missing_engines(jobs), cursor


def _with_missing_engines(jobs: list[Job]) -> list[Job]:
    """Return the jobs; those that are queued for an engine that no live worker has say so."""
    if all(job.state is not JobState.QUEUED for job in jobs):
        return jobs
    engines = services().workers.live_engines()
    return [
        job.waiting_for_engine()
        if job.state is JobState.QUEUED and not job.waiting_for and job.request.engine not in engines
        else job
        for job in jobs
    ]


def _page_of_all(query: JobListQuery) -> Page:
    store, found, cursor = services().store, list[Job](), query.starting_after
    owner = listed_owner()
    size = SCAN_JOBS if query.state else query.limit
    for _ in range(MAX_SCANS):
        try:
            ids, more = store.list_ids(owner, limit=size, before=cursor)
        except JobNotFoundError as error:
            raise _cursor_error() from error
        jobs = store.read_jobs(ids)
        for job in jobs:
            if query.state in {None, job.state}:
                if len(found) == query.limit:
                    return found, cursor_of(found[-1])
                found.append(job)
        if not more:
            return found, None
        cursor = cursor_of(jobs[-1]) if jobs else ids[-1]
        if query.state is None:
            break
    return found, cursor


def _page_of_batch(query: JobListQuery, batch: Batch) -> Page:
    items, found, after = services().items, list[Job](), 0
    if query.starting_after is not None:
        of, after = batch_of(query.starting_after.partition("-")[0])
        if of != batch.id:
            raise _cursor_error()
    state = None if query.state is None else ItemState(query.state.value)
    for standing in items.iterate(batch, state=state, after=after):
        if not standing.has_job:
            continue
        if len(found) == query.limit:
            return found, found[-1].id
        try:
            found.append(items.read_job(job_id_of(batch.id, standing.item.number)))
        except JobNotFoundError:
            # Its batch is being deleted, or the item is being run again.
            continue
    return found, None


def _cursor_error() -> FieldsInvalidError:
    return FieldsInvalidError([{"field": "starting_after", "message": "names a job that no longer exists"}])
