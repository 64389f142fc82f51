"""The one task: a message names a job, the record says what to do."""

from __future__ import annotations

from celery import Celery

from shared.queue.dispatcher import TASK_NAME
from worker.jobs.worker_service import WorkerService


def register(app: Celery, service: WorkerService) -> None:
    """Make `app` answer to the task's name with this worker's service."""

    @app.task(name=TASK_NAME, ignore_result=True)
    def separate_job(job_id: str) -> None:
        service.run_job(job_id)
