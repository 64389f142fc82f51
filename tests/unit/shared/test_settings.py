"""At its start a program prints a line for each setting that is wrong, without the value that was set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import Settings, read_settings


def test_each_setting_that_is_wrong_has_a_line_and_secrets_stay_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_RETRIES", "many")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    monkeypatch.setenv("REDIS_URL", "http://user:secret@host")
    with pytest.raises(SystemExit) as ended:
        read_settings("api")
    lines = str(ended.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["api", "REDIS_URL"],
        ["api", "MAX_RETRIES"],
        ["api", "LOG_LEVEL"],
    ]
    assert "secret" not in str(ended.value)
    assert "Value error" not in str(ended.value)


def test_a_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "warning")
    assert read_settings("api").log_level == "WARNING"


@pytest.mark.parametrize("setting", ["S3_SOURCE_BUCKETS", "EXPORT_BUCKETS"])
def test_our_own_bucket_is_no_bucket_of_others(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("S3_BUCKET", "ours")
    monkeypatch.setenv(setting, "songs, ours")
    with pytest.raises(SystemExit) as ended:
        read_settings("api")
    assert str(ended.value).startswith(f"api: {setting}: it names S3_BUCKET")
    monkeypatch.setenv(setting, "songs, ours2")
    assert "ours2" in getattr(read_settings("api"), setting.lower())


def test_our_own_bucket_is_refused_by_its_default_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORT_BUCKETS", Settings.model_fields["s3_bucket"].default)
    with pytest.raises(SystemExit):
        read_settings("worker")


def test_folders_that_are_not_set_follow_the_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE_FOLDER", "SCRATCH_FOLDER", "MODEL_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    plain = read_settings("worker")
    assert (plain.scratch_folder, plain.model_folder) == (Path("var/scratch"), Path("var/models"))
    monkeypatch.setenv("STATE_FOLDER", "/srv/state")
    moved = read_settings("worker")
    assert (moved.scratch_folder, moved.model_folder) == (Path("/srv/state/scratch"), Path("/srv/state/models"))
    monkeypatch.setenv("MODEL_FOLDER", "/srv/models")
    assert read_settings("worker").model_folder == Path("/srv/models")
    assert read_settings("worker").scratch_folder == Path("/srv/state/scratch")


@pytest.mark.parametrize(
    "command",
    [
        ["gunicorn", "--check-config", "-c", "python:api.server.gunicorn_conf", "api.wsgi:app"],
        ["celery", "-A", "worker.celery_app", "worker"],
        ["shared.maintenance.health_check", "api"],
        ["shared.maintenance.admin_command", "status"],
        ["worker.separate_command", __file__, "out"],
        ["worker.model_setup", "--cache", "out"],
        ["deploy.local.stack"],
    ],
    ids=lambda command: command[0],
)
def test_a_program_ends_at_once_with_that_line_and_no_traceback(command: list[str], tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", *command],
        env={"PATH": "/usr/bin:/bin", "MAX_RETRIES": "many"},
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "MAX_RETRIES: Input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr
