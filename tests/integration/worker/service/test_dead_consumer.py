"""A worker whose Celery consumer is dead exits, so its supervisor starts another; an outage does not cause that."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings
from tests.fault.support.proxy import Proxy
from tests.integration.worker.service.conftest import ALIVE_SECONDS, Start, wait_until
from worker.service.worker_service import CONSUMER_DEAD


@pytest.mark.parametrize("what", ["hang", "fail"])
def test_a_worker_whose_consumer_is_dead_leaves_the_registry_and_exits_with_an_error(
    start: Start, settings: Settings, tmp_path: Path, what: str
) -> None:
    registry = WorkerRegistry(settings.model_copy(update={"worker_alive_seconds": 600.0}))
    process = start(what, 4, settings.redis_url)
    wait_until(lambda: bool(registry.live_workers()), "the worker's first heartbeat")
    assert process.wait(timeout=200) == CONSUMER_DEAD != 0
    assert registry.live_workers() == [], "it counts no more, although its last heartbeat is recent"
    assert "celery consumer dead" in (tmp_path / "log").read_text()


def test_a_worker_outlives_an_outage_of_redis_longer_than_the_watch_s_patience(
    start: Start, settings: Settings
) -> None:
    patience, outage = 10, 13
    registry = WorkerRegistry(settings.model_copy(update={"worker_alive_seconds": ALIVE_SECONDS}))
    port = settings.redis_url.rsplit(":", 1)[1].split("/")[0]
    with Proxy(int(port)) as proxy:
        process = start("nothing", patience, settings.redis_url.replace(f":{port}", f":{proxy.port}"))
        wait_until(lambda: bool(registry.live_workers()), "the worker's first heartbeat")
        proxy.mode = "refuse"
        proxy.reset_all()
        time.sleep(outage)
        assert registry.live_workers() == [], "it could not be heard"
        proxy.mode = "pass"
        wait_until(lambda: bool(registry.live_workers()), "the heartbeat after the outage", 30)
        time.sleep(2 * patience)
        assert process.poll() is None
        assert registry.live_workers()
