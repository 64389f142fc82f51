"""`stemqueue catalog` as a process of its own, and what must be true of what it leaves behind."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.fault.support.deployment import Deployment


def make_songs(folder: Path, *names: str) -> list[Path]:
    """Write a song of a second under each name, none like another."""
    paths = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng().normal(0, 0.1, (22_050, 2))
        soundfile.write(os.fsencode(path), noise.astype(np.float32), 22_050, format="FLAC")
        paths.append(path)
    return paths


class Command:
    """`stemqueue catalog`, as a process of its own."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self._folder = folder

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        url = f"http://127.0.0.1:{self.deployment.api_port}"
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "api.client", "--url", url, "catalog", *map(str, arguments)],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=150)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def uploads(self) -> int:
        """Return how many mixtures lie in storage."""
        return sum(1 for _ in self.deployment.storage.list_keys("uploads/"))

    def attempts(self, outcome: str) -> float:
        """Return how many attempts ended so."""
        told = self.deployment.client.get("/metrics").text
        found = re.findall(rf'^stemqueue_attempts_total{{.*outcome="{outcome}".*}} (\S+)$', told, re.MULTILINE)
        return sum(map(float, found))


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "report.csv").open(newline="") as file:
        return {row["track"]: row for row in csv.DictReader(file)}


def check_stems(command: Command, out: Path) -> None:
    """Assert that the stems of all tracks that succeeded are here as they were made, and nothing else."""
    found = {p for p in out.rglob("*") if p.is_file() and ".stemqueue" not in p.parts and p.name != "report.csv"}
    listed = set()
    for row in rows(out).values():
        if row["state"] != "succeeded":
            continue
        stems = {s["filename"]: s["sha256"] for s in command.deployment.job(row["job_id"])["stems"]}
        assert {Path(p).name for p in row["outputs"].split("; ")} == set(stems)
        for path in (out / p for p in row["outputs"].split("; ")):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == stems[path.name]
            listed.add(path)
    assert found == listed
    assert list((out / ".stemqueue" / "partial").iterdir()) == []
