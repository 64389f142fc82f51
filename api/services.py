"""The objects that routes call. create_app makes them once per process; `services` returns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from api.access.open_calls import OpenCalls
from api.access.rate_limits import RateLimits
from api.idempotency_records import IdempotencyStore
from api.job_change_feed import JobChanges
from api.monitoring.readiness import Readiness
from api.recorded_objects import RecordedObjects
from api.submission.batch_preflight import Preflight
from api.submission.batch_submission import BatchSubmitter
from api.submission.job_submission import JobSubmitter
from api.webhooks.delivery import Webhooks
from api.webhooks.outbox import WebhookStore
from shared.api_keys import ApiKeys
from shared.batches.actions import BatchActions
from shared.batches.item_status import BatchItems
from shared.batches.store import BatchStore
from shared.counters import Counters
from shared.jobs.store import JobStore
from shared.jobs.uploads import UploadStore
from shared.queue.dispatcher import JobQueue
from shared.queue.engine_catalog import EngineCatalog
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import WorkerRegistry
from shared.redis_client.connection import connect
from shared.redis_client.memory import RedisMemory
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage

EXTENSION = "stemqueue"


@dataclass(frozen=True)
class Services:
    """The services of one API process. `prompt_storage` has short timeouts, for requests that a client waits for."""

    settings: Settings
    store: JobStore
    queue: JobQueue
    workers: WorkerRegistry
    statistics: QueueStatistics
    storage: ObjectStorage
    prompt_storage: ObjectStorage
    recorded: RecordedObjects
    catalog: EngineCatalog
    submission: JobSubmitter
    readiness: Readiness
    counters: Counters
    redis_memory: RedisMemory
    keys: ApiKeys
    rate_limits: RateLimits
    open_calls: OpenCalls
    idempotency: IdempotencyStore
    changes: JobChanges
    batches: BatchStore
    batch_changes: BatchActions
    items: BatchItems
    batch_submitter: BatchSubmitter
    preflight: Preflight
    deliveries: WebhookStore
    webhooks: Webhooks


def make_services(settings: Settings) -> Services:
    """Create the services. They open no connections yet."""
    client = connect(settings)
    store = JobStore(settings, client)
    queue = JobQueue(settings, client)
    workers, statistics = WorkerRegistry(settings, client), QueueStatistics(settings, client)
    storage = ObjectStorage(settings)
    prompt_storage = ObjectStorage(settings, prompt=True)
    catalog = EngineCatalog(settings, queue, workers)
    deliveries, counters = WebhookStore(settings, client), Counters(client, settings.redis_prefix)
    batches, changes = BatchStore(settings, client), BatchActions(settings, client)
    items = BatchItems(store, batches, prompt_storage)
    batch_submitter = BatchSubmitter(
        settings=settings,
        uploads=UploadStore(settings, client),
        changes=changes,
        batches=batches,
        prompt_storage=prompt_storage,
        storage=storage,
        catalog=catalog,
    )
    return Services(
        settings=settings,
        store=store,
        queue=queue,
        workers=workers,
        statistics=statistics,
        storage=storage,
        prompt_storage=prompt_storage,
        recorded=RecordedObjects(prompt_storage),
        catalog=catalog,
        submission=JobSubmitter(
            settings,
            store,
            UploadStore(settings, client),
            queue,
            storage=storage,
            prompt_storage=prompt_storage,
            catalog=catalog,
        ),
        readiness=Readiness(store, workers, prompt_storage),
        counters=counters,
        redis_memory=RedisMemory(client),
        keys=ApiKeys(settings, client),
        rate_limits=RateLimits(settings, client),
        open_calls=OpenCalls(settings),
        idempotency=IdempotencyStore(settings, client),
        batches=batches,
        batch_changes=changes,
        items=items,
        batch_submitter=batch_submitter,
        preflight=Preflight(batch_submitter, workers, statistics, storage),
        deliveries=deliveries,
        webhooks=Webhooks(settings, items, batches, deliveries, counters),
        # A waiter occupies a thread, so a quarter of the threads stays free for other requests.
        changes=JobChanges(settings, max_followers=settings.api_threads * 3 // 4),
    )


def install(app: Flask, services: Services) -> None:
    """Attach the services to the application."""
    app.extensions[EXTENSION] = services


def services() -> Services:
    """Return the services of the application that handles this request."""
    return cast(Services, current_app.extensions[EXTENSION])
