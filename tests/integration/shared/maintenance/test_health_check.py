"""The health check of a worker: its heartbeat in Redis, and what it says while Redis is away."""

from __future__ import annotations

import socket

from shared.maintenance.health_check import worker_fault
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.settings import Settings
from tests.fixtures.ports import find_free


def test_a_worker_is_healthy_while_its_heartbeats_arrive(settings: Settings) -> None:
    registry, worker_id = WorkerRegistry(settings), f"{socket.gethostname()}-1"
    assert "no worker on" in (worker_fault(settings) or "")
    registry.heartbeat(Worker(worker_id, 1, ("repetition",), ()))
    assert worker_fault(settings) is None
    registry.remove(worker_id)
    assert "no worker on" in (worker_fault(settings, unless_redis_is_away=True) or "")


def test_only_the_check_that_restarts_a_worker_forgives_a_redis_that_is_away() -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{find_free()}/0")
    assert worker_fault(settings)
    assert worker_fault(settings, unless_redis_is_away=True) is None
