"""`stemqueue catalog run` ended at any time, by anything, goes on where it stood and does nothing twice."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end.catalog_command import Command, check_stems, make_songs
from tests.fault.support.deployment import wait_until

SONGS = 12


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
        _, err = process.communicate(timeout=120)
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
