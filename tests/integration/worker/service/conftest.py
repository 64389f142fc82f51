"""A worker as a real process. The script below can break its consumer, and shortens the watch's patience."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.settings import Settings

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
