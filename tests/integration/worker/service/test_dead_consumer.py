"""A worker whose Celery consumer is dead exits, so that its supervisor starts another; an outage does not cause that.

Each worker is a real process. The script below breaks its consumer and shortens the watch's patience.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings
from tests.fault.proxy import Proxy
from worker.service.worker_service import CONSUMER_DEAD

WORKER = """
import sys, threading, time
from celery import signals
from celery.__main__ import main
from worker.service import consumer_watch

consumer_watch.MAX_SILENT_SECONDS = {patience}

def nothing(consumer):
    pass

def hang(consumer):
    # The event loop runs this, and does not come back from it.
    consumer.hub.call_soon(threading.Event().wait)

def fail(consumer):
    # Celery gives up, and then waits for the threads of its pool: one of them is busy for an hour.
    consumer.pool.executor.submit(time.sleep, 3600)
    consumer.hub.call_soon(lambda: 1 / 0)

@signals.worker_ready.connect
def break_later(sender, **_):
    sender.timer.call_after(2, {what}, (sender,))

sys.argv = ["celery", "-A", "worker.celery_app", "worker", "--pool", "threads", "--without-gossip", "--without-mingle"]
main()
"""

ALIVE_SECONDS = 8.0

Start = Callable[[str, float, str], "subprocess.Popen[bytes]"]


@pytest.fixture(name="start")
def _start(tmp_path: Path, settings: Settings) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(what: str, patience: float, redis_url: str) -> subprocess.Popen[bytes]:
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "OPENBLAS_CORETYPE") if name in os.environ},
            "REDIS_URL": redis_url,
            "WORKER_ALIVE_SECONDS": str(ALIVE_SECONDS),
            "REDIS_PREFIX": settings.redis_prefix,
            "S3_ENDPOINT_URL": str(settings.s3_endpoint_url),
            "S3_ACCESS_KEY_ID": str(settings.s3_access_key_id),
            "S3_SECRET_ACCESS_KEY": str(settings.s3_secret_access_key),
            "S3_BUCKET": settings.s3_bucket,
            "SCRATCH_FOLDER": str(tmp_path / "scratch"),
            "MODEL_FOLDER": str(tmp_path / "models"),
        }
        command = [sys.executable, "-c", WORKER.format(patience=patience, what=what)]
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_until(question: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.1)


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
