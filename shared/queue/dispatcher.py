"""The line of queued jobs, the window in front of Celery, and the workers that serve it.

Queued jobs wait in our own ordered sets; only about two for each live slot are published as Celery messages.
So fairness, places in line, pause and drain, and the search for lost messages are questions to our own records.
A message holds the job's id and nothing else. Owns no record (store.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import redis
from celery import Celery
from kombu.exceptions import KombuError

from shared.errors import StoreUnavailableError
from shared.jobs.model import CLASSES
from shared.redis_client.connection import broker_options, connect, guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

TASK_NAME = "stemqueue.separate_job"


@dataclass(frozen=True)
class Line:
    """One engine's and class's line, as metrics and operators see it."""

    engine: str
    priority: str
    waiting: int
    oldest_age_seconds: float
    paused: bool
    draining: bool


@dataclass(frozen=True)
class Rescue:
    """What one run of the rescuer mended."""

    leases: int
    """Leases that ran out, of workers that were lost."""
    given_up: int
    retries_due: int
    uncharged: int
    """Leases that ran out while Redis was away."""
    republished: int


def celery_queue(engine: str, priority: str) -> str:
    """Return the Celery queue that carries an engine's jobs of one class.

    Workers look into queues in the order of their names: those of interactive jobs come first.
    """
    return f"stemqueue.{'first' if priority == 'interactive' else 'later'}.{engine}"


def make_producer(settings: Settings) -> Celery:
    """Return a Celery app that only sends, and fails at once instead of holding its caller.

    Publishing to a hung Redis blocks for over a minute unless the sockets have a timeout.
    """
    app = Celery("stemqueue-producer", set_as_current=False)
    app.conf.update(
        **broker_options(
            settings,
            socket_timeout=settings.redis_timeout_seconds,
            socket_connect_timeout=settings.redis_timeout_seconds,
            retry_on_timeout=False,
        ),
        task_publish_retry=False,
        task_ignore_result=True,
        task_serializer="json",
        broker_connection_timeout=settings.redis_timeout_seconds,
    )
    return app


class JobQueue:
    """Order, dispatch, rescue. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None, producer: Celery | None = None) -> None:
        self._settings = settings
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._producer = producer or make_producer(settings)

    def dispatch(self) -> int:
        """Publish as many waiting jobs as the window has room for; return their number.

        Called on submit, on settle and on a tick. A crash before the messages are out is mended by `rescue`.
        """
        alive_ms = int(self._settings.worker_alive_seconds * 1000)
        return self._send(self._scripts.run("queue/dispatch", alive_ms))

    def pass_on(self, job_id: str, worker_id: str) -> bool:
        """Send a message on that a worker has got, if it has no free slot for the job and another worker has one."""
        alive_ms = int(self._settings.worker_alive_seconds * 1000)
        return self._send(self._scripts.run("queue/pass_on", job_id, worker_id, alive_ms)) > 0

    def put_back(self, job_id: str) -> bool:
        """Return a published job to its place in line: the worker that got its message claims nothing now."""
        return bool(self._scripts.run("queue/put_back", job_id))

    def rescue(self, *, with_leases: bool = True) -> Rescue:
        """Mend leases that ran out, retries that are due, and messages that nobody claimed.

        Without leases just after Redis was away: workers that live renew them first.
        """
        answer = self._scripts.run(
            "queue/rescue",
            int(self._settings.unclaimed_seconds * 1000),
            self._settings.max_losses,
            int(self._settings.retention_days * 86_400_000),
            int(self._settings.lease_seconds * 1000),
            int(self._settings.worker_alive_seconds * 1000),
            int(with_leases),
        )
        leases, given_up, due, uncharged = map(int, answer[:4])
        rescue = Rescue(leases, given_up, due, uncharged, len(answer[4:]) // 3)
        self._send(answer[4:])
        return rescue

    def pause(self, engine: str) -> None:
        """Publish nothing more of an engine's line; what runs, runs on."""
        self._scripts.run("queue/pause", engine)

    def drain(self, engine: str) -> None:
        """Accept nothing more for an engine; what waits is still worked off."""
        guarded(lambda: self._redis.sadd(f"{self._prefix}draining", engine))

    def resume(self, engine: str) -> None:
        """Lift `pause` and `drain`."""
        guarded(lambda: self._redis.srem(f"{self._prefix}paused", engine))
        guarded(lambda: self._redis.srem(f"{self._prefix}draining", engine))
        self.dispatch()

    def is_new_server(self) -> bool:
        """Return whether Redis has started, or failed over, since any worker asked for the last time."""
        return self._scripts.is_new_server()

    def lines(self) -> list[Line]:
        """Return all lines, the window's share of each included in none of them."""
        now_ms = guarded(self._redis.time)[0] * 1000
        paused = cast("set[str]", guarded(lambda: self._redis.smembers(f"{self._prefix}paused")))
        draining = cast("set[str]", guarded(lambda: self._redis.smembers(f"{self._prefix}draining")))
        engines = cast("set[str]", guarded(lambda: self._redis.smembers(f"{self._prefix}engines")))
        lines = []
        for engine in sorted(engines):
            for priority in CLASSES:
                waiting, oldest_ms = self._scripts.run("queue/queue_length", engine, priority)
                age = max(0.0, (now_ms - int(oldest_ms)) / 1000) if int(waiting) else 0.0
                lines.append(Line(engine, priority, int(waiting), age, engine in paused, engine in draining))
        return lines

    def _send(self, flat: Sequence[str]) -> int:
        for engine, priority, job_id in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            try:
                self._producer.send_task(TASK_NAME, args=[job_id], queue=celery_queue(engine, priority))
            except (KombuError, redis.RedisError, OSError) as error:
                raise StoreUnavailableError("The queue does not take messages.") from error
        return len(flat) // 3
