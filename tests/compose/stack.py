"""A copy of the repository whose services run in containers, under a project name and on ports of the tests' own."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.fixtures.deployment.compose import ROOT
from tests.fixtures.ports import find_free

PROJECT = "stemqueue-compose-test"
TAG = "compose-test"

COPIED = ("api", "worker", "shared", "deploy", "requirements", "pyproject.toml", "README.md", "LICENSE")
"""What images are built from, so that a test can change it."""

SETTINGS = {
    # Everything that waits for a dead worker waits seconds.
    "LEASE_SECONDS": "10",
    "HEARTBEAT_SECONDS": "2",
    "RESCUE_SECONDS": "2",
    "UNCLAIMED_SECONDS": "5",
    "WORKER_ALIVE_SECONDS": "12",
    "MAX_REQUESTS_PER_MINUTE": "100000",
    "API_IMAGE": f"stemqueue-api:{TAG}",
    "WORKER_IMAGE": f"stemqueue-worker:{TAG}",
    "MODELS_IMAGE": f"stemqueue-models:{TAG}",
}

ENDED = {"succeeded", "failed", "canceled"}


def docker(*arguments: str | Path, check: bool = True, seconds: float = 600, stdin: str | None = None) -> str:
    """Run docker; return what it prints. A failure shows the end of it."""
    done = subprocess.run(
        ["docker", *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0 or not check, f"docker {arguments[:8]}: {done.stdout[-3000:]}"
    return done.stdout


def wait_until(question: Callable[[], Any], seconds: float = 120, what: str = "an answer") -> Any:
    """Return the first true answer. Fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"no {what} after {seconds:.0f} s"
        time.sleep(0.5)
    return answer


@dataclass
class ComposeStack:
    """The stack in `folder`. `start` comes first, and `remove` last."""

    folder: Path
    project: str = PROJECT
    port: int = field(default_factory=find_free)
    prometheus_port: int = field(default_factory=find_free)
    https_port: int = field(default_factory=find_free)
    http_port: int = field(default_factory=find_free)
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))

    def prepare(self, *, machine: str = "") -> None:
        """Copy what images are made from, and make the env file as an operator does.

        `machine` names a volume of another stack that has what is made once on each machine.
        """
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        for name in (*COPIED, "docker-compose.yml", ".dockerignore", ".env.example"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name, ignore=ignored)
            else:
                shutil.copy(source, self.folder / name)
        subprocess.run(["sh", self.folder / "deploy/make-env.sh"], check=True, capture_output=True)
        # Names and ports of the tests' own, where the file lets nobody choose.
        ports = [f"127.0.0.1:{self.http_port}:80", f"127.0.0.1:{self.https_port}:443"]
        services = [
            f"  storage: {{image: stemqueue-storage:{TAG}}}",
            f"  proxy: {{ports: !override {json.dumps(ports)}}}",
            # No package has it.
            "  grafana: {profiles: !override [never]}",
        ]
        volumes = [f"volumes: {{machine: {{name: {machine}, external: true}}}}"] if machine else []
        override = "\n".join(["services:", *services, *volumes, ""])
        (self.folder / "docker-compose.override.yml").write_text(override)
        self.set(API_PORT=str(self.port), PROMETHEUS_PORT=str(self.prometheus_port), **self.settings)

    def set(self, **settings: str) -> None:
        """Add settings to the env file; the last line with a name counts."""
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def compose(
        self, *arguments: str | Path, check: bool = True, seconds: float = 900, stdin: str | None = None
    ) -> str:
        """Run docker compose for this project."""
        place = ("--project-name", self.project, "--project-directory", self.folder)
        files = ("--file", self.folder / "docker-compose.yml", "--file", self.folder / "docker-compose.override.yml")
        return docker("compose", *place, *files, *arguments, check=check, seconds=seconds, stdin=stdin)

    def up(self, *arguments: str) -> None:
        """Start what is not running, in its present form, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "600", *arguments)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """Return what the engine knows of a service's containers, stopped ones too."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return found

    def client(self) -> httpx2.Client:
        """Return a client of the published API."""
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def live_workers(self) -> int:
        """Return how many workers send heartbeats."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return round(float(next(line.split()[1] for line in lines if line.startswith("stemqueue_workers "))))

    def submit(self, song: Path, **options: str) -> str:
        """Submit a song and return the job's id. Nothing is taken from the result cache."""
        with self.client() as client, song.open("rb") as file:
            answer = client.post("/v1/jobs", files={"file": (song.name, file)}, data={"no_cache": "true", **options})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        with self.client() as client:
            found: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return found

    def until_separating(self, job_id: str) -> dict[str, Any]:
        """Return the job once a child is in the middle of its song."""

        def is_separating() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["state"] not in ENDED, f"{job['state']} too soon: {job['error']}"
            return job if job["state"] == "running" and job["progress"] > 0 else None

        found: dict[str, Any] = wait_until(is_separating, what="separation")
        return found

    def until_ended(self, job_id: str, seconds: float = 400) -> dict[str, Any]:
        """Return the job once it has ended. Restarts of the API are waited for."""

        def ended() -> dict[str, Any] | None:
            try:
                job = self.job(job_id)
            except httpx2.HTTPError:
                return None
            return job if job["state"] in ENDED else None

        found: dict[str, Any] = wait_until(ended, seconds, f"end of job {job_id}")
        return found

    def remove(self) -> Mapping[str, list[str]]:
        """Remove everything but the images. Return what the engine still has of the project."""
        if (self.folder / ".env").exists():
            profiles = ("storage", "proxy", "models", "monitoring")
            everything = [word for profile in profiles for word in ("--profile", profile)]
            self.compose(*everything, "down", "--volumes", "--remove-orphans", "--timeout", "30", check=False)
        label = f"label=com.docker.compose.project={self.project}"
        # The one that a change of NETWORK_INTERNAL has left.
        docker("network", "prune", "--force", "--filter", label, check=False)
        left = {
            "containers": docker("ps", "--all", "--quiet", "--filter", label),
            "volumes": docker("volume", "ls", "--quiet", "--filter", label),
            "networks": docker("network", "ls", "--quiet", "--filter", label),
        }
        return {kind: names.split() for kind, names in left.items()}


NOTHING: Mapping[str, list[str]] = {"containers": [], "volumes": [], "networks": []}


def remove_images() -> list[str]:
    """Remove the tests' images. Return those that the engine still has."""

    def names() -> list[str]:
        return [line for line in docker("images", "--format", "{{.Repository}}:{{.Tag}}").split() if TAG in line]

    docker("image", "rm", "--force", *names(), check=False)
    return names()


def layers(image: str) -> list[str]:
    """Return the digests of an image's layers, the lowest first."""
    found: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found
