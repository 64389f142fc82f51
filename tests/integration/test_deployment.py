"""docker-compose.yml without Docker: each service's command, environment, health check, and a song through the whole.

What differs from containers is in tests/fixtures/deployment/compose_here.py and containers.py.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import redis
import soundfile

from deploy.local.servers.seaweedfs import PORT_OFFSETS
from tests.fixtures.deployment.compose import ROOT, ComposeService, read_compose
from tests.fixtures.deployment.compose_here import METRICS_OFFSET, here, make_env_file, on_this_machine
from tests.fixtures.deployment.containers import Container, image_environment
from tests.fixtures.ports import find_free

pytestmark = pytest.mark.timeout(900)

PACKAGES = {"api": ("api", "shared"), "worker": ("worker", "shared")}
OTHER = {"api": ("numpy", "librosa", "onnxruntime"), "worker": ("flask", "werkzeug", "gunicorn")}
ENTRY = {"api": "api.app", "worker": "worker.celery_app"}


@pytest.fixture(scope="module", name="images")
def _images() -> dict[str, Path]:
    """Environments that hold only one image's packages, both made at once."""
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(image_environment, PACKAGES, PACKAGES.values())
        return dict(zip(PACKAGES, made, strict=True))


@dataclass
class Stack:
    """The services of the compose file, running."""

    containers: dict[str, Container]
    services: dict[str, ComposeService]
    url: str
    metrics_port: int
    redis: redis.Redis
    operator: redis.Redis


@pytest.fixture(scope="module", name="folder")
def _folder() -> Iterator[Path]:
    # Not pytest's own folder, which is closed to the services' users; not in /tmp, since they get one of their own.
    with tempfile.TemporaryDirectory(prefix="stemqueue-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module", name="stack")
def _stack(images: dict[str, Path], folder: Path) -> Iterator[Stack]:
    env_file = make_env_file(folder)
    # The proxy has a test of its own: tests/integration/test_proxy.py.
    services = {name: s for name, s in read_compose(env_file).items() if name in {"redis", "storage", "api", "worker"}}
    ports = {"redis": find_free(), "storage": find_free((*PORT_OFFSETS, METRICS_OFFSET)), "api": find_free()}
    containers = {name: on_this_machine(s, env_file, ports, images, folder) for name, s in services.items()}
    password = env_file["REDIS_PASSWORD"]
    stack = Stack(
        containers,
        services,
        f"http://127.0.0.1:{ports['api']}",
        ports["storage"] + METRICS_OFFSET,
        redis.Redis(port=ports["redis"], username="stemqueue", password=password, decode_responses=True),
        redis.Redis(port=ports["redis"], username="operator", password=password, decode_responses=True),
    )
    try:
        # In the order of depends_on.
        for names in (("redis", "storage"), ("api", "worker")):
            for name in names:
                containers[name].start()
            for name in names:
                containers[name].wait_until_healthy(
                    [here(word, name, ports, folder) for word in services[name].healthcheck], seconds=600
                )
        yield stack
    finally:
        stack.redis.close()
        stack.operator.close()
        for container in reversed(containers.values()):
            if container.process and container.process.poll() is None:
                container.stop(30)


def song(folder: Path) -> Path:
    """Write 6 s of two tones and a beat."""
    rate = 44_100
    t = np.arange(6 * rate) / rate
    y = 0.2 * np.sin(2 * np.pi * 220 * t) + 0.2 * np.sin(2 * np.pi * 660 * t) * (t % 1 < 0.5)
    soundfile.write(folder / "song.wav", np.stack([y, y], axis=1).astype(np.float32), rate)
    return folder / "song.wav"


def until_ended(client: httpx2.Client, job_id: str, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in {"succeeded", "failed", "canceled"}:
            return job
        time.sleep(0.3)
    raise AssertionError(f"still {job['state']} after {seconds:.0f} s")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_with_nothing_but_its_own_lock(images: dict[str, Path], package: str) -> None:
    code = f"""
import importlib, importlib.util
importlib.import_module({ENTRY[package]!r})
for name in {OTHER[package]!r}:
    assert importlib.util.find_spec(name) is None, name
"""
    done = subprocess.run(
        [images[package] / "bin/python", "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_song_goes_through_the_services_of_the_compose_file(stack: Stack, tmp_path: Path) -> None:
    with httpx2.Client(base_url=stack.url, timeout=30) as client:
        engines = {engine["name"] for engine in client.get("/v1/engines").json()["engines"]}
        assert engines == {"repetition", "unet"}, "the worker's start set the network up"
        with song(tmp_path).open("rb") as file:
            answer = client.post("/v1/jobs", files={"file": ("song.wav", file)}, data={"engine": "unet"})
        assert answer.status_code == 202, answer.text
        job = until_ended(client, answer.json()["id"])
        assert job["state"] == "succeeded", job["error"]
        for stem in job["stems"]:
            (tmp_path / stem["filename"]).write_bytes(client.get(stem["url"]).content)
            assert soundfile.info(tmp_path / stem["filename"]).frames == 6 * 44_100
        assert {stem["name"] for stem in job["stems"]} == {"vocals", "accompaniment"}


def test_the_curl_examples_of_the_readme_run(stack: Stack, tmp_path: Path) -> None:
    song(tmp_path).rename(tmp_path / "song.mp3")  # what it is shows in its content
    [script] = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = script.replace("http://127.0.0.1:8000", stack.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {soundfile.info(tmp_path / f"{stem}.flac").frames for stem in ("vocals", "accompaniment")} == {6 * 44_100}


def test_the_metrics_tell_how_long_the_song_waited_and_how_full_the_scratch_disk_is(stack: Stack) -> None:
    told = httpx2.get(f"{stack.url}/metrics").text
    assert re.search(r'^stemqueue_job_wait_seconds_count{priority="interactive"} [1-9]', told, re.MULTILINE)
    for kind in ("free", "size"):
        assert re.search(rf'^stemqueue_worker_scratch_{kind}_bytes{{worker="\S+"}} [1-9]', told, re.MULTILINE)


def test_the_storage_tells_prometheus_how_full_its_disk_is(stack: Stack) -> None:
    told = httpx2.get(f"http://127.0.0.1:{stack.metrics_port}/metrics").text
    for kind in ("all", "avail"):
        assert re.search(rf'^SeaweedFS_volumeServer_resource{{name="\S+",type="{kind}"}} [1-9]', told, re.MULTILINE)


def test_the_redis_user_was_refused_nothing_that_the_services_asked_for(stack: Stack) -> None:
    refused = [e["object"] for e in stack.operator.acl_log() if e["username"] == "stemqueue"]
    assert refused == []


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG GET requirepass",
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SHUTDOWN NOSAVE",
        "ACL LIST",
        "MONITOR",
        "REPLICAOF NO ONE",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "CLIENT KILL TYPE normal",
        "SWAPDB 0 1",
        "SAVE",
        "GET somebody:elses",
        "PUBLISH elsewhere x",
    ],
)
def test_the_redis_user_may_not(stack: Stack, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        stack.redis.execute_command(*command.split())
    stack.operator.acl_log_reset()


def test_redis_keeps_every_accepted_job_and_refuses_rather_than_forgets(stack: Stack) -> None:
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    assert {name: stack.operator.config_get(name)[name] for name in wanted} == wanted
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=stack.redis.connection_pool.connection_kwargs["port"]).ping()


def test_the_health_check_of_a_service_fails_once_it_has_stopped(stack: Stack, folder: Path) -> None:
    """The worker first: it hands back and leaves within its grace period, and its check needs no message to tell."""
    ports = {"redis": 0, "storage": 0}
    for name in ("worker", "api"):
        container, service = stack.containers[name], stack.services[name]
        check = [here(word, name, ports, folder) for word in service.healthcheck]
        assert container.exec(check).returncode == 0
        grace_seconds = float(service.definition["stop_grace_period"].removesuffix("s"))
        assert container.stop(grace_seconds) == 0
        failed = container.exec(check)
        assert failed.returncode == 1
        assert len(failed.stdout.decode().strip().splitlines()) == 1
    assert list((folder / "worker/scratch").iterdir()) == []
