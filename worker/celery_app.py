"""The Celery application of the worker: every setting with its reason, and the signals that start and stop our parts.

    celery -A worker.celery_app worker --pool threads --without-gossip --without-mingle

Owns no logic: worker_service.py holds the parts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from kombu import Exchange, Queue

from shared.errors import SandboxUnavailableError
from shared.jobs.model import PRIORITIES
from shared.logs import configure_logging
from shared.queue.dispatcher import celery_queue
from shared.redis_client.connection import broker_options
from shared.settings import read_settings, split_names
from worker.child.sandbox import child_environment, child_sandbox
from worker.jobs.worker_service import WorkerService
from worker.sandbox import launch
from worker.tasks import register

# Celery warns at length of root, for whom a pickled message could run any code. Messages here are ids in JSON, and what
# strangers send is opened by an ffmpeg in a sandbox, with no credentials and one file (ffmpeg.py).
warnings.filterwarnings("ignore", category=SecurityWarning)

log = structlog.get_logger(__name__)

settings = read_settings("worker")
app = Celery("stemqueue")
app.conf.update(
    **broker_options(
        settings,
        # Nothing waits for an acknowledgement, so that nobody need look for what was never acknowledged.
        unacked_restore_throttle=2**31,
        # A free thread looks for interactive jobs first.
        queue_order_strategy="sorted",
        # A hung Redis is noticed instead of waited for.
        socket_timeout=10,
        socket_connect_timeout=3,
        health_check_interval=10,
    ),
    # Leases and the rescuer own recovery. Late acknowledgement only adds second runs: after the visibility
    # timeout, and after every lost connection.
    task_acks_late=False,
    # Nobody hoards: a slot takes a message when it is free, and not before.
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    # More threads than slots: while a child separates one song, others are fetched and uploaded, and one more
    # is always there for an urgent job. The children, one a slot, are what is scarce (pool.py).
    worker_concurrency=2 * settings.worker_slots + 1,
    # The job's record holds the result; Celery's would answer PENDING for jobs that never were.
    task_ignore_result=True,
    result_backend=None,
    # A worker that starts before Redis, or outlives it, waits.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # Redis over maxmemory would otherwise end the worker.
    broker_channel_error_retry=True,
    # Running jobs go on through a lost connection; their fences guard them.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # Messages are ids: nothing that could run code is ever read.
    task_serializer="json",
    accept_content=["json"],
    worker_send_task_events=False,
    enable_utc=True,
)


@signals.celeryd_init.connect
def _prepare(**_: Any) -> None:
    """Make this worker's parts before its queues are chosen; a worker that cannot work ends, and says why."""
    global service  # noqa: PLW0603 - Celery's signals carry nothing of ours
    _demand_sandbox()
    try:
        service = WorkerService(settings, _learn_engines())
    except (OSError, subprocess.SubprocessError, ValueError, SandboxUnavailableError) as error:
        # Celery logs what a signal's handler raises, and goes on without it; SystemExit it lets through.
        raise SystemExit(f"The worker cannot start: {error}") from error
    # Each queue has an exchange of its own: Celery's default would bind them all to one. What is taken is gone: the
    # rescuer sends again what nobody claimed, and a full Redis would not take note of messages that are under way.
    only_interactive = service.worker.kept_slots == service.worker.slots
    classes = ("interactive",) if only_interactive else PRIORITIES
    names = [celery_queue(engine, priority) for priority in classes for engine in service.worker.engines]
    app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name, no_ack=True) for name in names]
    register(app, service)


def _learn_engines() -> list[dict[str, Any]]:
    """Ask another process which engines run here, so that this one never imports the signal-processing stack.

    Modules with engines run in it, so it has a child's sandbox and environment.
    """
    extra = [f"--extra={module}" for module in split_names(settings.extra_engines)]
    folder = f"--model-folder={settings.model_folder.resolve()}"
    command = [sys.executable, "-m", "worker.engines.registry", folder, *extra, *split_names(settings.worker_engines)]
    with tempfile.TemporaryDirectory(prefix="stemqueue-") as name:
        home = Path(name)
        sandbox = child_sandbox(
            home=home,
            model_folder=settings.model_folder,
            extra_engines=split_names(settings.extra_engines),
            ffmpeg_path=settings.ffmpeg_path,
        )
        environment = child_environment(threads=1, home=home)
        with launch.start(command, sandbox, environment=environment, stdout=subprocess.PIPE) as process:
            try:
                printed, _ = process.communicate(timeout=120)
            finally:
                process.kill()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return list(json.loads(printed))


def _demand_sandbox() -> None:
    """End where the sandbox must be complete and is not."""
    holds = launch.protection()
    if settings.require_sandbox and not holds.is_complete:
        raise SystemExit(f"The worker cannot start: REQUIRE_SANDBOX is set, and this stays open: {holds.open_words}.")


def _tell_of_sandbox() -> None:
    holds = launch.protection()
    if holds.gaps:
        log.warning("sandbox incomplete", landlock=holds.landlock, seccomp=holds.seccomp, open=holds.open_words)
    else:
        log.info("sandbox complete", landlock=holds.landlock, seccomp=holds.seccomp)


@signals.setup_logging.connect
def _log(**_: Any) -> None:
    # A receiver here keeps Celery from setting up handlers of its own.
    configure_logging(settings, "worker")


@signals.worker_ready.connect
def _start(**_: Any) -> None:
    _tell_of_sandbox()
    service.start()


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    service.stop()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    service.close()


service: WorkerService
