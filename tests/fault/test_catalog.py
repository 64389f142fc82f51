"""`stemqueue catalog` against a whole deployment: odd names, bad files, Ctrl-C, kills, and going on where it stood."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.fault.deployment import Deployment, wait_until
from tests.fixtures.compose import ROOT

SONGS = 12

NOW = {"seconds": 0.2}


@pytest.fixture(scope="module", name="catalog_deployment")
def _catalog_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that all of these tests use: it is the client that is hurt."""
    deployment = Deployment(
        tmp_path_factory.mktemp("catalog") / "deployment",
        WORKER_SLOTS="4",
        S3_SOURCE_BUCKETS="stems",
        DEFAULT_ENGINE="slow",
    )
    try:
        deployment.start_api()
        deployment.start_worker()
        yield deployment
    finally:
        deployment.close()


def make_songs(folder: Path, *names: str) -> list[Path]:
    """Write a song of a second under each name, none like another."""
    paths = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng().normal(0, 0.1, (22_050, 2))
        soundfile.write(path, noise.astype(np.float32), 22_050, format="FLAC")
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


@pytest.fixture
def command(catalog_deployment: Deployment, tmp_path: Path) -> Command:
    return Command(catalog_deployment, tmp_path)


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


def test_a_folder_becomes_stems_beside_the_names_of_its_songs(command: Command, tmp_path: Path) -> None:
    names = [
        "Artist/Album/01 Song.flac",
        "Artist/Album/01 Song.wav",
        "日本の歌.flac",
        "ü" * 120 + ".flac",
        "a - [b] 'c'.flac",
    ]
    songs = make_songs(tmp_path / "songs", *names)
    (tmp_path / "songs" / "no song.mp3").write_text("these are words")
    (tmp_path / "songs" / "empty.wav").touch()
    (tmp_path / "songs" / "cover.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "songs" / "._01 Song.flac").write_bytes(b"what other systems leave")
    out = tmp_path / "songs" / "stems"
    before = command.uploads()
    done = command("run", tmp_path / "songs", "--out", out, "--engine", "slow", "--format", "flac")
    assert done.returncode == 2, done.stderr
    assert "5 of 7 done, 2 failed" in done.stdout
    told = rows(out)
    assert (told["no song"]["state"], told["empty"]["error_code"]) == ("failed", "audio_empty")
    assert told["no song"]["error_code"] == "audio_unreadable"
    assert (out / "Artist/Album/01 Song/vocals.flac").is_file()
    assert (out / "Artist/Album/01 Song (wav)/accompaniment.flac").is_file()
    assert (out / "日本の歌/vocals.flac").is_file()
    check_stems(command, out)
    assert command.uploads() == before + len(songs) + 1
    # The same again begins nothing; and its own stems are no songs of it.
    assert command("run", tmp_path / "songs", "--out", out, "--engine", "slow").returncode == 64
    shutil.rmtree(out / "日本の歌")
    again = command("run", tmp_path / "songs", "--out", out, "--resume", "--json")
    assert (again.returncode, json.loads(again.stdout)["done"]) == (2, 5), again.stderr
    assert (out / "日本の歌/vocals.flac").is_file(), "what went missing is fetched again"
    assert command.uploads() == before + len(songs) + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl_c", "kill"])
def test_a_run_that_is_ended_at_any_time_goes_on_and_does_nothing_twice(
    command: Command, tmp_path: Path, number: signal.Signals
) -> None:
    make_songs(tmp_path / "songs", *[f"{i:02}.flac" for i in range(SONGS)])
    arguments = ("run", tmp_path / "songs", "--out", tmp_path / "out", "--engine", "slow", "--resume")
    uploads, separations = command.uploads(), command.attempts("succeeded")
    ended = 0
    for moment in (0.4, 0.9, 1.3, 2.0, 4.0, 5.0, random.uniform(0.5, 6)):
        process = command.start(*arguments)
        time.sleep(moment)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
        if process.returncode == 0:
            break
        ended += 1
        if number == signal.SIGINT and "Stopped" in err:
            assert process.returncode == 130
            assert (tmp_path / "out" / "report.csv").is_file()
    assert ended >= 3
    done = command(*arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"{SONGS} of {SONGS} done, 0 failed" in done.stdout
    check_stems(command, tmp_path / "out")
    assert command.uploads() == uploads + SONGS
    wait_until(lambda: command.attempts("succeeded") >= separations + SONGS, 10, "the count of separations")
    assert command.attempts("succeeded") == separations + SONGS


def test_a_state_that_lost_its_last_writes_costs_nothing_twice(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path / "songs", *[f"{i:02}.flac" for i in range(6)])
    out, kept = tmp_path / "out", tmp_path / "kept"
    arguments = ("run", tmp_path / "songs", "--out", out, "--engine", "slow", "--resume")
    uploads, separations = command.uploads(), command.attempts("succeeded")
    process = command.start(*arguments)
    wait_until(lambda: command.uploads() > uploads, 20, "an upload")
    process.kill()
    process.communicate()
    shutil.copytree(out / ".stemqueue", kept)
    assert command(*arguments).returncode == 0
    # As after a crash of the machine: the state is an old one, and no stem is there.
    shutil.rmtree(out)
    shutil.copytree(kept, out / ".stemqueue")
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    check_stems(command, out)
    assert command.uploads() == uploads + 6
    wait_until(lambda: command.attempts("succeeded") >= separations + 6, 10, "the count of separations")
    assert command.attempts("succeeded") == separations + 6, "once each: the others were answered from these"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A site on the web that has the test's folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_bad_lines_of_a_manifest_are_told_by_number_and_harm_no_other(
    command: Command, tmp_path: Path, site: str
) -> None:
    make_songs(tmp_path, "a.flac", "b.flac")
    (tmp_path / "bad.mp3").write_text("words")
    upload = command.deployment.client.post("/v1/uploads?filename=u.flac", content=(tmp_path / "a.flac").read_bytes())
    slow = {"engine": "slow", "parameters": NOW}
    lines: list[str] = [
        json.dumps({"path": "a.flac", "track": "../../../escape", **slow}),
        "{broken",
        json.dumps({"path": "b.flac", "track": "same", **slow, "format": "mp3", "metadata": {"isrc": "X"}}),
        json.dumps({"path": "a.flac", "track": "same", **slow, "stems": ["vocals"]}),
        json.dumps({"path": "a.flac", "track": "/" + "長" * 300, **slow, "excerpt": {"duration_seconds": 0.5}}),
        json.dumps({"path": "nowhere.flac"}),
        json.dumps({"path": "b.flac", "engine": "nope", "track": "wrong engine"}),
        json.dumps({"upload_id": "0" * 32, "track": "gone upload", **slow}),
        json.dumps({"upload_id": upload.json()["upload_id"], "track": "uploaded before", **slow}),
        json.dumps({"path": "bad.mp3", **slow}),
        json.dumps({"url": f"{site}/a.flac", "track": "=from the web", **slow}),
        json.dumps({"url": f"{site}/nowhere.flac", **slow}),
    ]
    (tmp_path / "catalog.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    done = command("run", "catalog.jsonl", "--out", out)
    assert done.returncode == 2, done.stderr
    assert "6 of 12 done, 6 failed" in done.stdout
    with (out / "report.csv").open(newline="") as file:
        told = {int(row["line"]): row for row in csv.DictReader(file)}
    assert {line: row["error_code"] for line, row in told.items() if row["state"] != "succeeded"} == {
        2: "line_invalid",
        6: "file_unreadable",
        7: "request_invalid",
        8: "source_missing",
        10: "audio_unreadable",
        12: "url_unreachable",
    }
    assert told[11]["track"] == "'=from the web", "no formula for a spreadsheet"
    assert told[2]["error_message"] == "line 2: it is no JSON"
    assert (out / "_" / "_" / "_" / "escape" / "vocals.flac").is_file()
    assert (out / "same" / "vocals.mp3").is_file()
    assert sorted(p.name for p in (out / "same (2)").iterdir()) == ["vocals.flac"]
    assert not [p for p in tmp_path.parent.rglob("*escape*") if not p.is_relative_to(out)]
    assert float(told[5]["duration_seconds"]) == pytest.approx(0.5, abs=0.1)


def test_a_bucket_goes_through_and_its_stems_can_stay_there(command: Command, tmp_path: Path) -> None:
    for song in make_songs(tmp_path, "one.flac", "two.flac"):
        command.deployment.storage.put_bytes(song.read_bytes(), f"incoming/x/{song.name}", "audio/flac")
    command.deployment.storage.put_bytes(b"", "incoming/x/notes.txt", "text/plain")
    done = command("run", "s3://stems/incoming/", "--out", "out", "--engine", "slow", "--no-download")
    assert done.returncode == 0, done.stderr
    told = rows(tmp_path / "out")
    assert set(told) == {"x/one", "x/two"}
    assert not (tmp_path / "out" / "x").exists()
    url = told["x/one"]["outputs"].split("; ")[0]
    assert command.deployment.client.get(url).status_code == 200
    fetched = command("run", "s3://stems/incoming/", "--out", "out", "--resume")
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "out" / "x" / "two" / "vocals.flac").is_file()
    check_stems(command, tmp_path / "out")


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
    assert process.returncode == 2, err
    assert {row["state"] for row in rows(tmp_path / "out").values()} == {"canceled"}
    again = command("retry-failed", "out", "--json")
    assert json.loads(again.stdout)["state"] == "running", again.stderr
    assert command("cancel", batch_id).returncode == 0
    report = list(csv.DictReader(command("report", "out").stdout.splitlines()))
    assert [row["track"] for row in report] == ["a", "b"]
    assert len(command("report", batch_id, "--format", "jsonl").stdout.splitlines()) == 2


def test_what_the_server_has_forgotten_is_sent_again(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path / "songs", "a.flac", "b.flac")
    process = command.start("run", "songs", "--out", "out")
    wait_until(lambda: command("status", "out", "--json").stdout, 20, "a batch")
    process.kill()
    process.communicate()
    batch_id = json.loads(command("status", "out", "--json").stdout)["id"]
    command("cancel", batch_id)
    deleted = lambda: command.deployment.client.delete(f"/v1/batches/{batch_id}").is_success
    wait_until(deleted, 20, "the batch to be deleted")
    done = command("run", "songs", "--out", "out", "--resume")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "2 of 2 done" in done.stdout
    check_stems(command, tmp_path / "out")


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
    assert other.returncode == 64, "what was done was done by another engine"


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
    assert refused.returncode == 64
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
