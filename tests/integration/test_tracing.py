"""Traces of the real API and worker, at a real receiver of OTLP: one trace for a job, whatever happens to it."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from deploy.local.processes import RunningService, Service
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings
from shared.telemetry.opentelemetry_tracer import STOP_SECONDS
from tests.fixtures.api import serve_api
from tests.fixtures.loops import prepared
from tests.fixtures.network.collector import Collector, SentSpan, serve_collector
from tests.fixtures.servers import StorageServer, ValkeyServer
from tests.fixtures.sounds.audio import make_song, write_wav

ROOT = Path(__file__).parents[2]

CLIENT_TRACE, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"

STAGES = ["probe", "decode", "separate", "encode", "illustrate"]


@dataclass
class Stack:
    """The service with a collector and a receiver of webhooks."""

    collector: Collector
    api: RunningService
    worker: RunningService
    song: bytes
    worker_lines: list[str]
    hook_url: str
    hooks: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the API."""
        return self.api.service.name

    def submit(self, headers: dict[str, str] | None = None, **fields: str) -> str:
        """Submit the song; return the job's id."""
        given = {"format": "wav", "no_cache": "true", **fields}
        answer = httpx2.post(f"{self.url}/v1/jobs", files={"file": ("s.wav", self.song)}, data=given, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def until_ended(self, path: str) -> dict[str, Any]:
        """Return a job or a batch once it has ended."""
        deadline = time.monotonic() + 200
        while (found := httpx2.get(f"{self.url}{path}").json())["state"] in {"queued", "running", "reading"}:
            assert time.monotonic() < deadline, (found, self.worker_lines)
            time.sleep(0.1)
        return dict(found)

    def trace_with(self, name: str, job_id: str, count: int = 1) -> list[SentSpan]:
        """Return the trace of a job, once the collector has this many spans of that name."""

        def found(spans: list[SentSpan]) -> list[SentSpan]:
            its = {s.trace_id for s in spans if s.attributes.get("stemqueue.job.id") == job_id}
            assert len(its) <= 1, "a job has one trace"
            trace = self.collector.trace(its.pop()) if its else []
            return trace if [s.name for s in trace].count(name) >= count else []

        found_spans: list[SentSpan] = self.collector.wait_for(found)
        return found_spans


def serve_worker(
    valkey: ValkeyServer, storage: StorageServer, folder: Path, lines: list[str], collector: Collector
) -> RunningService:
    # Its working folder has the stand-in engines. All else is imported as installed: for that, loops are compiled.
    (folder / "tests").symlink_to(ROOT / "tests")
    registry = WorkerRegistry(Settings(redis_url=valkey.url))
    service = Service(
        name="worker",
        command=(
            *(sys.executable, "-m", "celery", "-q", "-A", "worker.celery_app", "worker", "--pool", "threads"),
            *("--without-gossip", "--without-mingle"),
        ),
        folder=folder,
        environment={
            **{name: os.environ[name] for name in ("PATH", "HOME", "OPENBLAS_CORETYPE") if name in os.environ},
            **{name.upper(): str(value) for name, value in storage.settings().items()},
            "REDIS_URL": valkey.url,
            "EXTRA_ENGINES": "tests.fixtures.stand_ins.engines,tests.fixtures.stand_ins.fails_once",
            "RETRY_BASE_SECONDS": "0.1",
            "RESCUE_SECONDS": "0.2",
            "SCRATCH_FOLDER": str(folder / "scratch"),
            "MODEL_FOLDER": str(folder / "models"),
            "WORKER_ENGINES": "share,fails_once",
            "WORKER_SLOTS": "1",
            "THREADS_PER_JOB": "1",
            **prepared().environment(),
            **telemetry(collector),
        },
        answers=lambda: bool(registry.live_workers()),
        start_seconds=120,
        stop_seconds=60,
    )
    return RunningService(service, lines.append)


def telemetry(collector: Collector) -> dict[str, str]:
    # A hanging collector is given up only after the test.
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
    }


@pytest.fixture(scope="module")
def stack(
    session_valkey: ValkeyServer, session_storage: StorageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("traced")
    song = write_wav(folder / "s.wav", make_song(1.0)).read_bytes()
    with redis.Redis.from_url(session_valkey.url) as client:
        client.flushall()
    hooks, lines = list[dict[str, str]](), list[str]()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            hooks.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
    thread.start()
    with serve_collector() as collector:
        changes = {
            **telemetry(collector),
            "WEBHOOK_SECRETS": f"whsec_{base64.b64encode(bytes(24)).decode()}",
            "OUTGOING_TO_LOOPBACK": "true",
        }
        worker = serve_worker(session_valkey, session_storage, folder, lines, collector)
        try:
            with serve_api(session_valkey, session_storage, folder, changes) as api:
                worker.wait_until_it_answers()
                yield Stack(collector, api, worker, song, lines, f"http://127.0.0.1:{receiver.server_port}/hook", hooks)
        finally:
            worker.stop()
            print("\n".join(lines))
            receiver.shutdown()
            thread.join()
            receiver.server_close()


def test_a_job_is_one_trace_from_the_client_s_span_to_the_webhook(stack: Stack) -> None:
    secret_url = f"{stack.hook_url}?token=secret"
    job_id = stack.submit({"traceparent": TRACEPARENT, "tracestate": "a=b"}, engine="share", webhook_url=secret_url)
    assert stack.until_ended(f"/v1/jobs/{job_id}")["state"] == "succeeded"
    trace = stack.trace_with("webhook", job_id)
    assert {span.trace_id for span in trace} == {CLIENT_TRACE}
    names = {span.span_id: span.name for span in trace}
    tree = [(span.service, span.kind, names.get(span.parent_id, span.parent_id), span.name) for span in trace]
    assert sorted(tree) == sorted(
        [
            ("stemqueue-api", "server", CLIENT_SPAN, "POST /v1/jobs"),
            ("stemqueue-api", "internal", "POST /v1/jobs", "receive song"),
            ("stemqueue-api", "producer", "POST /v1/jobs", "submit job"),
            ("stemqueue-worker", "internal", "submit job", "queue"),
            ("stemqueue-worker", "consumer", "submit job", "attempt"),
            *(("stemqueue-worker", "internal", "attempt", name) for name in ("fetch", "wait for slot", *STAGES)),
            *(("stemqueue-worker", "internal", "attempt", name) for name in ("upload", "commit")),
            ("stemqueue-api", "client", "submit job", "webhook"),
        ]
    )
    assert [span.name for span in trace if span.name in STAGES] == STAGES, "in their order"
    ends = {span.name: (span.begun_ns, span.ended_ns) for span in trace}
    assert all(
        ends["attempt"][0] <= ends[n][0] <= ends[n][1] <= ends["attempt"][1] for n in [*STAGES, "fetch", "upload"]
    )
    # The receiver of the webhook continues the trace.
    (hook,) = stack.hooks
    webhook = next(span for span in trace if span.name == "webhook")
    assert hook["traceparent"] == f"00-{CLIENT_TRACE}-{webhook.span_id}-01"
    assert hook["tracestate"] == "a=b"
    told = json.dumps([span.attributes for span in trace])
    assert not any(word in told for word in ("secret", "s.wav", "local"))
    # A log line and its span find each other.
    ended = next(json.loads(line) for line in stack.worker_lines if '"attempt ended"' in line and job_id in line)
    attempt = next(span for span in trace if span.name == "attempt")
    assert (ended["trace_id"], ended["span_id"]) == (CLIENT_TRACE, attempt.span_id)


def test_a_retry_is_a_second_attempt_in_the_same_trace(stack: Stack) -> None:
    job_id = stack.submit(engine="fails_once")
    assert stack.until_ended(f"/v1/jobs/{job_id}")["attempt"] == 2
    trace = stack.trace_with("attempt", job_id, count=2)
    first, second = (span for span in trace if span.name == "attempt")
    assert (first.failed, second.failed) == (True, False)
    assert [span.attributes["stemqueue.attempt"] for span in (first, second)] == [1, 2]
    assert first.parent_id == second.parent_id
    assert len([span for span in trace if span.name == "queue"]) == 2
    failed = [span.name for span in trace if span.failed and span.parent_id == first.span_id]
    assert failed == ["separate"], "the stage in which the child stopped"


def test_an_item_s_job_begins_a_trace_that_is_linked_to_the_submission_of_its_batch(stack: Stack) -> None:
    upload = httpx2.post(f"{stack.url}/v1/uploads?filename=s.wav", content=stack.song).json()
    body = {
        "items": [{"source": {"upload_id": upload["upload_id"]}}],
        "defaults": {"engine": "share", "format": "wav", "no_cache": True},
        "webhook_url": stack.hook_url,
    }
    answer = httpx2.post(f"{stack.url}/v1/batches", json=body)
    assert answer.status_code == 202, answer.text
    batch_id = answer.json()["id"]
    assert stack.until_ended(f"/v1/batches/{batch_id}")["counts"]["succeeded"] == 1
    trace = stack.trace_with("attempt", f"{batch_id[:24]}00000001")
    root = next(span for span in trace if not span.parent_id)
    (submitted,) = stack.collector.wait_for(lambda spans: [s for s in spans if s.name == "POST /v1/batches"])
    assert root.links == ((submitted.trace_id, submitted.span_id),)
    assert root.trace_id != submitted.trace_id
    hook = stack.collector.wait_for(
        lambda spans: [s for s in spans if s.name == "webhook" and s.trace_id == submitted.trace_id]
    )
    assert hook[0].parent_id == submitted.span_id


def test_polls_of_probes_have_no_spans(stack: Stack) -> None:
    assert httpx2.get(f"{stack.url}/healthz").status_code == 200
    httpx2.get(f"{stack.url}/v1/jobs/{'0' * 32}")
    (poll,) = stack.collector.wait_for(
        lambda spans: [s for s in spans if s.attributes.get("url.path", "").endswith("0" * 32)]
    )
    assert poll.name == "GET /v1/jobs/<job_id>"
    assert poll.attributes["http.response.status_code"] == 404
    assert not poll.failed
    assert not [s for s in stack.collector.spans if s.attributes.get("url.path") == "/healthz"]


def test_a_collector_that_hangs_stops_neither_jobs_nor_the_end_of_the_processes(stack: Stack) -> None:
    collector = stack.collector
    collector.hangs.set()
    before = collector.requests
    job_id = stack.submit(engine="share")
    assert stack.until_ended(f"/v1/jobs/{job_id}")["state"] == "succeeded"
    deadline = time.monotonic() + 60
    while collector.requests < before + 2:
        # Both processes wait for its answer.
        assert time.monotonic() < deadline
        time.sleep(0.05)
    begun = time.monotonic()
    stack.worker.stop()
    stack.api.stop()
    # The SDK alone would wait for 30 s in each process.
    assert time.monotonic() - begun < 2 * STOP_SECONDS + 15
    assert not collector.released.is_set()
