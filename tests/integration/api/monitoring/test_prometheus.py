"""A real Prometheus asks a real API: every query of the dashboard and of the alerts has series."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from shared.api_keys import ApiKeys
from tests.fixtures.api import StandIn
from tests.fixtures.beside import beside
from tests.fixtures.deployment.monitoring import alert_queries, alerts, count_what_workers_count, panel_queries
from tests.fixtures.deployment.prometheus import run_prometheus
from tests.fixtures.ports import find_free

# A stub for SeaweedFS's metrics port, which only Compose opens; test_deployment.py looks at the real one.
DISK = b'SeaweedFS_volumeServer_resource{name="/data",type="all"} 100\n' + (
    b'SeaweedFS_volumeServer_resource{name="/data",type="avail"} 60\n'
)


@pytest.fixture(name="disk_metrics")
def _disk_metrics() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(DISK)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def work(api_url: str, stand_in: StandIn) -> None:
    """Let one job succeed and one fail, and count what a worker counts."""
    for name in ("good", "bad"):
        files = {"file": (f"{name}.mp3", f"{name}\0song".encode())}
        job_id = httpx2.post(f"{api_url}/v1/jobs", files=files, timeout=30).json()["id"]
        stand_in.queue.dispatch()
        stand_in.succeed(job_id) if name == "good" else stand_in.fail(job_id)
    count_what_workers_count(stand_in.store._redis, stand_in.settings.redis_prefix)


def test_every_query_of_the_dashboard_and_of_the_alerts_has_series(
    api_url: str, stand_in: StandIn, disk_metrics: str, tmp_path: Path
) -> None:
    redis = stand_in.store._redis
    redis.config_set("maxmemory", 500_000_000)
    [worker] = stand_in.workers.live_workers()

    def stay_alive(over: threading.Event) -> None:
        # A worker's series end when it has been silent for a while, and this test may take longer than that.
        told = replace(worker, scratch_free_bytes=25, scratch_size_bytes=100)
        stand_in.workers.heartbeat(told)
        while not over.wait(2):
            stand_in.workers.heartbeat(told)

    # A key that is wrong is refused on loopback too, so this shows that Prometheus sends it.
    key = ApiKeys(stand_in.settings).create(owner="prometheus", scopes=["metrics"])[1]
    targets = {"api:8000": api_url.removeprefix("http://"), "storage:9327": disk_metrics}
    try:
        with beside(stay_alive), run_prometheus(tmp_path, find_free(), targets, key) as prometheus:
            assert prometheus.wait_for_series([("up", 'up{job="stemqueue"} == 1')]) == []
            # Prometheus sees an increase only of what was there before.
            work(api_url, stand_in)
            assert prometheus.wait_for_series([*panel_queries(), *alert_queries()]) == []
            rules = {rule["name"]: rule["health"] for rule in prometheus.wait_for_rules()}
            assert rules == {rule["alert"]: "ok" for rule in alerts()}
    finally:
        redis.config_set("maxmemory", 0)
