"""`stemqueue catalog run` when something around it is wrong: the disk, the server, the names."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.catalog_command import Command, check_stems, make_songs, rows
from tests.fault.support.deployment import wait_until
from tests.fixtures.servers import SONGS


def test_copies_of_tracks_of_one_name_all_arrive(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path, "a.flac", "b.flac", "c.flac")
    lines = [json.dumps({"path": name, "track": "Intro"}) for name in ("a.flac", "b.flac")]
    (tmp_path / "m.jsonl").write_text("\n".join([*lines, json.dumps({"path": "c.flac", "track": "intro"})]))
    done = command("run", "m.jsonl", "--out", "out", "--no-download", "--export", f"s3://{SONGS}/copies")
    assert done.returncode == 0, done.stderr
    copies = {key.removeprefix("copies/") for key, _, _ in command.deployment.songs.list_keys("copies/")}
    # A bucket tells capital letters apart, but not every disk that it is copied to.
    folders = ("Intro", "Intro (2)", "intro (3)")
    assert copies == {f"{folder}/{stem}.flac" for folder in folders for stem in ("vocals", "accompaniment")}


def test_a_full_disk_ends_a_run_that_goes_on_when_there_is_room(command: Command, tmp_path: Path) -> None:
    # A disk of its own, in a namespace of its own; not every machine lets us.
    isolated = ["unshare", "--user", "--map-root-user", "--mount"]
    tried = ["sh", "-c", f"mount -t tmpfs -o size=200k tmpfs {shlex.quote(str(tmp_path))}"]
    if not shutil.which("unshare") or subprocess.run([*isolated, *tried], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    make_songs(tmp_path / "songs", *(f"{n}.flac" for n in range(4)))
    (tmp_path / "disk").mkdir()
    run = [sys.executable, "-I", "-m", "api.client", "--url", str(command.deployment.client.base_url), "catalog", "run"]
    once = shlex.join([*run, "songs", "--out", "disk/out", "--resume"])
    script = f"mount -t tmpfs -o size=200k tmpfs disk; {once}; echo $?; mount -o remount,size=9m disk; {once}; echo $?"
    done = subprocess.run(
        [*isolated, "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    first, summary, second = done.stdout.splitlines()
    assert (first, second) == ("1", "0"), done.stderr
    assert "Stopped by an error; --resume continues this run." in done.stderr
    # It is the state that has no room, or a stem, which is named.
    out = re.escape(f"{tmp_path}/disk/out")
    full = f"The run's state in {out} cannot be used: database or disk is full\\.|{out}(/.*)?: No space left on device"
    assert re.search(f"^Error: ({full})$", done.stderr, re.MULTILINE), done.stderr
    assert summary.startswith("4 of 4 done, 0 failed")


def test_a_server_that_goes_away_is_waited_for_and_named(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path / "songs", "a.flac", "b.flac")
    process = command.start("run", "songs", "--out", "out", "--engine", "slow")
    wait_until(lambda: command("status", "out", "--json").stdout, 20, "a batch")
    deployment = command.deployment
    assert deployment.api
    deployment.api.kill()
    assert process.stderr
    told = ""
    try:
        while "trying again" not in told:
            told = process.stderr.readline()
            assert told, "it waits"
    finally:
        deployment.start_api()
    assert f"trying again: No server answers at {deployment.client.base_url}" in told
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "2 of 2 done" in out
    check_stems(command, tmp_path / "out")


def test_a_prefix_with_nothing_below_it_is_told_and_leaves_no_run_behind(command: Command, tmp_path: Path) -> None:
    empty = command("run", f"s3://{SONGS}/later/", "--out", "out", "--engine", "slow")
    assert (empty.returncode, empty.stderr.splitlines()[-1]) == (
        2,
        f"Error: There are no songs in s3://{SONGS}/later/.",
    )
    (song,) = make_songs(tmp_path, "one.flac")
    command.deployment.songs.put_bytes(song.read_bytes(), "later/one.flac", "audio/flac")
    done = command("run", f"s3://{SONGS}/later/", "--out", "out", "--engine", "slow")
    assert done.returncode == 0, done.stderr
    assert set(rows(tmp_path / "out")) == {"one"}
