"""On a machine whose kernel lacks a part of the sandbox, the worker warns, or refuses to start if a setting says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import Settings
from worker.sandbox.launch import Protection

# Celery's program on a kernel that answers as an older one would.
WORKER = """
import sys
from worker.sandbox import landlock, seccomp
landlock.version, seccomp.is_available = lambda: {landlock}, lambda: {seccomp}
from celery.__main__ import main
sys.argv = ["celery", "-A", "worker.celery_app", "worker", "--pool", "threads", "--without-gossip", "--without-mingle"]
main()
"""


def worker(folder: Path, settings: Settings, protection: Protection, **environment: str) -> subprocess.Popen[str]:
    told = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "OPENBLAS_CORETYPE") if name in os.environ},
        "REDIS_URL": settings.redis_url,
        "S3_ENDPOINT_URL": str(settings.s3_endpoint_url),
        "S3_ACCESS_KEY_ID": str(settings.s3_access_key_id),
        "S3_SECRET_ACCESS_KEY": str(settings.s3_secret_access_key),
        "SCRATCH_FOLDER": str(folder / "scratch"),
        "MODEL_FOLDER": str(folder / "models"),
        "LOG_FORMAT": "json",
        **environment,
    }
    code = WORKER.format(landlock=protection.landlock, seccomp=protection.seccomp)
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=told, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("lacking", [Protection(0, seccomp=True), Protection(6, seccomp=False)])
def test_where_it_is_required_the_worker_does_not_start_and_says_what_is_open(
    tmp_path: Path, settings: Settings, lacking: Protection
) -> None:
    process = worker(tmp_path, settings, lacking, REQUIRE_SANDBOX="true")
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "The worker cannot start: REQUIRE_SANDBOX is set" in said
    assert lacking.gaps_text in said


def test_where_it_is_not_the_worker_starts_and_warns(tmp_path: Path, settings: Settings) -> None:
    process = worker(tmp_path, settings, Protection(0, seccomp=False))
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if "sandbox" in line), "")
        assert '"sandbox incomplete"' in line
        assert '"warning"' in line
        assert "no Landlock" in line
        assert "no seccomp" in line
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("protection", "is_complete", "gaps"),
    [
        (Protection(7, seccomp=True), True, 0),
        (Protection(2, seccomp=True), True, 1),
        (Protection(6, seccomp=False), False, 1),
        (Protection(0, seccomp=True), False, 2),
    ],
)
def test_what_stays_open_is_named(protection: Protection, is_complete: bool, gaps: int) -> None:
    assert (protection.is_complete, len(protection.gaps)) == (is_complete, gaps)
