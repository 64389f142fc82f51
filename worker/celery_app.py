"""The Celery application of the worker: its settings with their reasons, its one task, and its start and stop.

    celery -A worker.celery_app worker --pool threads --without-gossip --without-mingle

What the worker does is in service/worker_service.py.
"""

from __future__ import annotations

import subprocess
import warnings
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from shared.errors import SandboxUnavailableError
from shared.logs import configure_logging
from shared.queue.dispatcher import TASK_NAME
from shared.redis_client.connection import broker_options
from shared.settings import read_settings
from shared.telemetry import set_up
from worker.child.engine_descriptions import describe_engines, models_state
from worker.sandbox import launch
from worker.service.consumer_watch import consumer_step
from worker.service.engine_watch import engine_step
from worker.service.worker_service import WorkerService

# Celery warns workers that run as root, since a pickled message could run any code. Messages here are ids in JSON, and
# strangers' files are opened in a sandbox without credentials.
warnings.filterwarnings("ignore", category=SecurityWarning)

log = structlog.get_logger(__name__)

settings = read_settings("worker")
app = Celery("stemqueue")
app.conf.update(
    **broker_options(
        settings,
        # No message waits for an acknowledgement, so there are none to restore.
        unacked_restore_throttle=2**31,
        # A free thread takes interactive jobs first: their queues come first in alphabetical order.
        queue_order_strategy="sorted",
        # Do not wait for a Redis that hangs.
        socket_timeout=10,
        socket_connect_timeout=3,
        health_check_interval=10,
    ),
    # Leases and the rescuer recover lost jobs. Late acknowledgement would only run jobs twice: after the visibility
    # timeout, and after every lost connection.
    task_acks_late=False,
    # Disable prefetching: a slot fetches a message only when it is free.
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    # More threads than slots: while children separate, other songs are fetched and uploaded, and one thread more is
    # free for an interactive job. The number of children, one for each slot, limits what is separated (child/pool.py).
    worker_concurrency=2 * settings.worker_slots + 1,
    # The job's record holds the result. Celery's own results would be PENDING even for unknown jobs.
    task_ignore_result=True,
    result_backend=None,
    # Wait for Redis at the start and after an outage.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # Otherwise a Redis that has reached maxmemory ends the worker.
    broker_channel_error_retry=True,
    # Running jobs continue when the connection is lost; fences guard their results.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # Messages are ids. Read no format that could run code.
    task_serializer="json",
    accept_content=["json"],
    worker_send_task_events=False,
    enable_utc=True,
)


@signals.celeryd_init.connect
def _prepare(**_: Any) -> None:
    """Create the worker's parts and its list of queues; exit with a message if that is not possible."""
    global service  # noqa: PLW0603 - Celery's signals cannot pass it on
    _require_sandbox()
    try:
        # The order matters: models that are added in between are then noticed as a change.
        models = models_state(settings.model_folder)
        service = WorkerService(settings, describe_engines(settings), models)
    except (OSError, subprocess.SubprocessError, ValueError, SandboxUnavailableError) as error:
        # Celery logs other exceptions of signal handlers and continues; SystemExit ends it.
        raise SystemExit(f"The worker cannot start: {error}") from error
    app.steps["consumer"].add(consumer_step(service.consumer_watch.sign_of_life))
    app.steps["consumer"].add(engine_step(service.engine_watch.use_consumer))
    app.conf.task_queues = service.engine_watch.queues()


def _require_sandbox() -> None:
    """Exit if the settings require a complete sandbox and this machine has none."""
    holds = launch.protection()
    if settings.require_sandbox and not holds.is_complete:
        raise SystemExit(
            f"The worker cannot start: REQUIRE_SANDBOX is set, and these are not confined: {holds.gaps_text}."
        )


def _log_sandbox() -> None:
    holds = launch.protection()
    if holds.gaps:
        log.warning("sandbox incomplete", landlock=holds.landlock, seccomp=holds.seccomp, open=holds.gaps_text)
    else:
        log.info("sandbox complete", landlock=holds.landlock, seccomp=holds.seccomp)


@signals.setup_logging.connect
def _log(**_: Any) -> None:
    # A receiver of this signal keeps Celery from setting up its own log handlers.
    configure_logging(settings, "worker", set_up.start(settings, "worker"))


@signals.worker_ready.connect
def _start(**_: Any) -> None:
    _log_sandbox()
    service.start()


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    service.stop()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    service.close()
    set_up.stop()


@app.task(name=TASK_NAME, ignore_result=True)
def separate_job(job_id: str) -> None:
    """Run the job that a message names; its record says what to do."""
    service.run_job(job_id)


service: WorkerService
