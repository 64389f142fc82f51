"""The commands around `stemqueue catalog run`: status, cancel, retry, report; refusals; the README's examples."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.catalog_command import Command, make_songs, rows
from tests.fault.support.deployment import wait_until
from tests.fixtures.deployment.compose import ROOT


def test_a_run_is_watched_canceled_retried_and_listed(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path, "a.flac", "b.flac")
    slow = {"engine": "slow", "parameters": {"seconds": 60}}
    lines = [json.dumps({"path": name, **slow}) for name in ("a.flac", "b.flac")]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    process = command.start("run", "m.jsonl", "--out", "out", "--no-download")
    told: list[dict[str, Any]] = []

    def running() -> bool:
        shown = command("status", "out", "--json").stdout
        told[:] = [json.loads(line) for line in shown.splitlines()]
        return bool(told) and told[0]["counts"]["running"] == 2

    wait_until(running, 40, "both to run")
    assert command("run", "m.jsonl", "--out", "out", "--resume").returncode == 1, "one run at a time"
    batch_id = told[0]["id"]
    assert batch_id in command("list").stdout
    assert "2" in command("status", batch_id).stdout
    assert json.loads(command("cancel", "out", "--json").stdout)["id"] == batch_id
    _, err = process.communicate(timeout=40)
    assert process.returncode == 5, err
    assert {row["state"] for row in rows(tmp_path / "out").values()} == {"canceled"}
    again = command("retry-failed", "out", "--json")
    assert json.loads(again.stdout)["state"] == "running", again.stderr
    assert command("cancel", batch_id).returncode == 0
    report = list(csv.DictReader(command("report", "out").stdout.splitlines()))
    assert [row["track"] for row in report] == ["a", "b"]
    assert len(command("report", batch_id, "--format", "jsonl").stdout.splitlines()) == 2


def test_what_the_server_refuses_can_be_mended_without_a_second_upload(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path / "songs", "a.flac")
    uploads = command.uploads()
    refused = command("run", "songs", "--out", "out", "--engine", "nope")
    assert refused.returncode == 1
    assert "engine" in refused.stderr
    assert "Traceback" not in refused.stderr
    mended = command("run", "songs", "--out", "out", "--engine", "slow", "--resume")
    assert mended.returncode == 0, mended.stderr
    assert command.uploads() == uploads + 1
    other = command("run", "songs", "--out", "out", "--engine", "repetition", "--resume")
    assert other.returncode == 2, "what was done was done by another engine"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "nowhere", "--out", "out"),
        ("run", ".", "--out", "out", "--format", "au"),
        ("run", "songs.txt", "--out", "out"),
        ("run", "s3://", "--out", "out"),
        ("run", "empty", "--out", "out"),
        ("run", "empty", "--out", "empty"),
        ("fly",),
        ("--nope",),
    ],
)
def test_a_wrong_command_line_is_not_taken_for_failed_songs(
    command: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "songs.txt").touch()
    (tmp_path / "empty").mkdir()
    refused = command(*arguments)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("Error: ")


def test_the_examples_of_the_readme_run(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path / "album", "one.flac", "two.flac")
    examples = re.findall(r"```bash\n(.*?)```", (ROOT / "api" / "README.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(examples)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STEMQUEUE_URL": f"http://127.0.0.1:{command.deployment.api_port}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "stems" / "two" / "vocals.mp3").is_file()
    assert [json.loads(line)["track"] for line in (tmp_path / "report.jsonl").read_text().splitlines()] == [
        "one",
        "two",
    ]
    assert '"track":"One","state":"succeeded"' in done.stdout
