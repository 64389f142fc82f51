"""Decides which queued jobs are published to Celery, and returns the jobs of lost workers to the queue.

Queued jobs wait in sorted sets in Redis; only about two per live slot are published as Celery messages. So the sorted
sets alone decide fairness, queue positions, pause and drain. A message holds only the job's id; shared/jobs/store.py
keeps the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import redis
from celery import Celery
from kombu.exceptions import KombuError

from shared.errors import StoreUnavailableError
from shared.jobs.request import PRIORITIES
from shared.redis_client.connection import broker_options, connect, guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings

TASK_NAME = "stemqueue.separate_job"


@dataclass(frozen=True)
class QueueLength:
    """The queue of one engine and priority, without jobs already published to Celery."""

    engine: str
    priority: str
    waiting: int
    oldest_age_seconds: float
    """Since a job was ready to run: since it was submitted, given back, or got its source."""
    paused: bool
    draining: bool
    published: int
    """Published jobs of the engine, of all priorities, that no worker has claimed."""


@dataclass(frozen=True)
class Rescue:
    """What one run of the rescuer repaired."""

    leases: int
    """Expired leases of workers that died."""
    given_up: int
    retries_due: int
    uncharged: int
    """Leases that expired while Redis was unavailable; no loss is charged for them."""
    republished: int


def celery_queue(engine: str, priority: str) -> str:
    """Return the name of the Celery queue for an engine and a priority.

    Workers read queues in the order of their names, so the names put interactive jobs first.
    """
    return f"stemqueue.{'first' if priority == 'interactive' else 'later'}.{engine}"


def make_producer(settings: Settings) -> Celery:
    """Return a Celery app that only publishes messages, and fails soon if Redis does not answer.

    Without socket timeouts, publishing to a hung Redis blocks for over a minute.
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
    """The queues of all engines. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None, producer: Celery | None = None) -> None:
        self._settings = settings
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._producer = producer or make_producer(settings)

    def dispatch(self) -> int:
        """Publish as many queued jobs as the window has room for; return their number.

        Called when a job is submitted or ends, and at intervals. If this process dies before it has sent the messages,
        `rescue` publishes them again.
        """
        alive_ms = self._settings.worker_alive_ms
        return self._send(self._scripts.run("queue/dispatch", alive_ms=alive_ms))

    def pass_on(self, job_id: str, worker_id: str) -> bool:
        """Publish a received message again if this worker has no free slot for the job and another has one."""
        alive_ms = self._settings.worker_alive_ms
        return self._send(self._scripts.run("queue/pass_on", job_id=job_id, worker_id=worker_id, alive_ms=alive_ms)) > 0

    def put_back(self, job_id: str) -> bool:
        """Return a published job to its place in the queue, because the worker cannot claim it now."""
        return bool(self._scripts.run("queue/put_back", job_id=job_id))

    def rescue(self, *, worker_id: str = "", with_leases: bool = True) -> Rescue:
        """Return jobs with expired leases and due retries to the queue, and publish unclaimed messages again.

        Call it without leases just after Redis was unavailable: live workers need time to renew theirs. A worker calls
        it right after its heartbeat: a Redis that hangs runs the call when it goes on, and then sees how old it is.
        """
        answer = self._scripts.run(
            "queue/rescue",
            unclaimed_ms=int(self._settings.unclaimed_seconds * 1000),
            max_losses=self._settings.max_losses,
            retention_ms=self._settings.retention_ms,
            lease_ms=self._settings.lease_ms,
            alive_ms=self._settings.worker_alive_ms,
            with_leases=with_leases,
            worker_id=worker_id,
        )
        leases, given_up, due, uncharged = map(int, answer[:4])
        rescue = Rescue(leases, given_up, due, uncharged, len(answer[4:]) // 3)
        self._send(answer[4:])
        return rescue

    def pause(self, engine: str) -> None:
        """Stop publishing an engine's queued jobs. Running jobs continue."""
        self._scripts.run("queue/pause", engine=engine)

    def drain(self, engine: str) -> None:
        """Refuse new jobs for an engine. Queued jobs are still processed."""
        guarded(lambda: self._redis.sadd(f"{self._prefix}draining", engine))

    def resume(self, engine: str) -> None:
        """End `pause` and `drain` for an engine."""
        guarded(lambda: self._redis.srem(f"{self._prefix}paused", engine))
        guarded(lambda: self._redis.srem(f"{self._prefix}draining", engine))
        self.dispatch()

    def is_new_server(self) -> bool:
        """Return whether Redis was restarted or failed over since any worker last asked."""
        return self._scripts.is_new_server()

    def queue_lengths(self) -> list[QueueLength]:
        """Return the length of each queue, without jobs already published to Celery."""
        now_ms = guarded(self._redis.time)[0] * 1000
        paused = cast("set[str]", guarded(lambda: self._redis.smembers(f"{self._prefix}paused")))
        draining = cast("set[str]", guarded(lambda: self._redis.smembers(f"{self._prefix}draining")))
        engines = cast("set[str]", guarded(lambda: self._redis.smembers(f"{self._prefix}engines")))
        lengths = []
        for engine in sorted(engines):
            for priority in PRIORITIES:
                waiting, oldest_ms, published = self._scripts.run(
                    "queue/queue_length", engine=engine, priority=priority
                )
                age = max(0.0, (now_ms - int(oldest_ms)) / 1000) if int(waiting) else 0.0
                lengths.append(
                    QueueLength(
                        engine, priority, int(waiting), age, engine in paused, engine in draining, int(published)
                    )
                )
        return lengths

    def _send(self, flat: Sequence[str]) -> int:
        for engine, priority, job_id in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            try:
                self._producer.send_task(TASK_NAME, args=[job_id], queue=celery_queue(engine, priority))
            except (KombuError, redis.RedisError, OSError) as error:
                raise StoreUnavailableError("Redis is unavailable: the message could not be published.") from error
        return len(flat) // 3
