"""The proxy of the Compose profile, by its own Caddyfile, before a real API: TLS, uploads, ranges, event streams."""

from __future__ import annotations

import json
import os
import ssl
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from flask.testing import FlaskClient

from deploy.local.processes import RunningService, Service
from tests.fixtures.api import StandIn, submit
from tests.fixtures.deployment.compose import ROOT
from tests.fixtures.ports import find_free
from tests.integration.api.request_bodies.test_uploads_on_the_wire import MEGABYTE, blocks, connect, head, peak_bytes

CADDY = Path(sysconfig.get_path("scripts")) / "caddy"


@dataclass(frozen=True)
class Proxy:
    """Where it listens, and what its certificate is from."""

    http_url: str
    https_port: int
    trust: ssl.SSLContext

    def client(self) -> httpx2.Client:
        """A client that trusts it."""
        return httpx2.Client(base_url=f"https://localhost:{self.https_port}", verify=self.trust, timeout=30)


@pytest.fixture(scope="module")
def proxy(gunicorn: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    if not CADDY.exists():
        pytest.skip("no caddy here")
    folder, http_port, https_port = tmp_path_factory.mktemp("proxy"), find_free(), find_free()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        # A name for which Caddy makes certificates by itself.
        "PUBLIC_NAME": "localhost",
        "PROXY_HTTP_PORT": str(http_port),
        "PROXY_HTTPS_PORT": str(https_port),
        "PROXY_MAX_BODY_BYTES": str(120 * MEGABYTE),
        "API_ADDRESS": gunicorn.service.name.removeprefix("http://"),
    }
    root = folder / "caddy/pki/authorities/local/root.crt"
    service = Service(
        name="proxy",
        command=(str(CADDY), "run", "--config", str(ROOT / "deploy/proxy/Caddyfile")),
        folder=folder,
        environment=environment,
        answers=lambda: root.exists() and _answers(https_port, root),
        start_seconds=60,
        stop_seconds=10,
    )
    running = RunningService(service, print)
    try:
        running.wait_until_it_answers()
        yield Proxy(f"http://localhost:{http_port}", https_port, ssl.create_default_context(cafile=str(root)))
    finally:
        running.stop()


def _answers(port: int, root: Path) -> bool:
    trust = ssl.create_default_context(cafile=str(root))
    try:
        return httpx2.get(f"https://localhost:{port}/healthz", verify=trust).is_success
    except httpx2.HTTPError:
        return False


def test_http_leads_to_https(proxy: Proxy) -> None:
    answer = httpx2.get(f"{proxy.http_url}/v1/jobs")
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://localhost/v1/jobs")


def test_a_song_goes_through_and_its_stem_comes_back_in_ranges(
    proxy: Proxy, api_url: str, web: FlaskClient, stand_in: StandIn
) -> None:
    del api_url, web
    with proxy.client() as client:
        job = client.post("/v1/jobs", files={"file": ("a.mp3", b"s\0ng" * 50_000)}).raise_for_status().json()
        stand_in.queue.dispatch()
        stand_in.succeed(job["id"])
        stem = f"/v1/jobs/{job['id']}/stems/vocals"
        part = client.get(stem, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, b"0123456789")
        whole = client.get(stem)
        assert (whole.status_code, len(whole.content)) == (200, 1000)
        assert client.get(stem, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
        assert client.get("/v1/jobs", headers={"Host": "elsewhere.example"}).content == b"", "no other name"


def test_events_come_through_at_once(proxy: Proxy, api_url: str, web: FlaskClient, stand_in: StandIn) -> None:
    del api_url
    job_id = str(submit(web).json["id"])
    stand_in.queue.dispatch()
    with proxy.client() as client, client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        jobs = (json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:"))
        assert next(jobs)["state"] == "queued"
        stand_in.succeed(job_id)
        assert [job["state"] for job in jobs][-1] == "succeeded"


def test_a_large_upload_passes_and_one_that_is_too_large_is_told_so(
    proxy: Proxy, gunicorn: RunningService, api_url: str, stand_in: StandIn
) -> None:
    del api_url
    with proxy.client() as client:
        answer = client.post("/v1/uploads?filename=long.wav", content=blocks(60))
        assert (answer.status_code, answer.json()["size_bytes"]) == (201, 60 * MEGABYTE)
        before = peak_bytes(gunicorn)
        assert client.post("/v1/uploads", content=blocks(60)).status_code == 201
        assert peak_bytes(gunicorn) - before < 30 * MEGABYTE
        refused = client.post("/v1/uploads", content=bytes(111 * MEGABYTE))
        assert (refused.status_code, refused.json()["code"]) == (413, "upload_too_large")
        assert client.post("/v1/uploads", content=bytes(121 * MEGABYTE)).status_code == 413
    assert len(stand_in.keys()) == 2


def test_uploads_that_drip_do_not_reach_the_api(proxy: Proxy, api_url: str, stand_in: StandIn) -> None:
    del api_url
    with ExitStack() as stack, proxy.client() as client:
        for _ in range(20):
            plain = stack.enter_context(connect(f"http://localhost:{proxy.https_port}"))
            wire = stack.enter_context(proxy.trust.wrap_socket(plain, server_hostname="localhost"))
            wire.sendall(head("/v1/uploads", "Content-Length: 4000000") + b"s\0ng")
        time.sleep(0.5)
        # Four of them would be as many as one owner may have here.
        assert client.post("/v1/uploads", content=b"s\0ng").status_code == 201
    assert len(stand_in.keys()) == 1
