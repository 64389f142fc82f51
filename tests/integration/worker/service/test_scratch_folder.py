"""Scratch folders are closed to other users, and two deployments do not share one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from worker.service.scratch_folder import LOCK_NAME, ScratchFolder, ScratchFolderTakenError, deployment_of

# Holds a folder until its input ends, as a worker process does.
HOLDER = """
import sys
from pathlib import Path
from worker.service.scratch_folder import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]), "theirs", sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="theirs")
def _theirs(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running worker of the deployment `theirs`, with its folder in tmp_path."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), "theirs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_nobody_else_looks_into_the_folders_wherever_they_lie(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = ScratchFolder(tmp_path / "a" / "scratch", "mine", "ours")
    finally:
        os.umask(before)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "scratch").stat().st_mode & 0o777 == 0o700
    folder.close()


def test_a_worker_of_another_deployment_is_refused_and_leaves_nothing(
    tmp_path: Path, theirs: subprocess.Popen[str]
) -> None:
    with pytest.raises(ScratchFolderTakenError, match="give each deployment a folder of its own"):
        ScratchFolder(tmp_path, "mine", "ours")
    assert [folder.name for folder in tmp_path.iterdir()] == ["theirs"]
    beside = ScratchFolder(tmp_path, "beside", "theirs")
    assert beside.sweep() == []
    theirs.kill()
    theirs.wait()
    beside.close()
    # What a dead one left binds nobody.
    mine = ScratchFolder(tmp_path, "mine", "ours")
    assert mine.sweep() == ["theirs"]
    mine.close()


def test_what_else_lies_there_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir(mode=0o000)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / LOCK_NAME).touch()
    (tmp_path / "a file").touch()
    mine = ScratchFolder(tmp_path, "mine", "ours")
    assert mine.sweep() == ["old"]
    mine.close()


def test_a_deployment_is_its_redis_and_its_prefix() -> None:
    def named(url: str, prefix: str = "sq:") -> str:
        return deployment_of(Settings(redis_url=url, redis_prefix=prefix))

    ours = named("redis://:secret@one:6379/0")
    assert named("redis://other:password@one/0") == ours, "how one gets in does not matter"
    others = {named("redis://one:6380/0"), named("redis://two/0"), named("redis://one/1"), named("redis://one/0", "x:")}
    assert ours not in others
    assert len(others) == 4


def test_the_worker_says_so_in_a_sentence_and_ends(tmp_path: Path, theirs: subprocess.Popen[str]) -> None:
    assert theirs.poll() is None
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-q", "-A", "worker.celery_app", "worker", "--pool", "threads"],
        env={"PATH": os.environ["PATH"], "SCRATCH_FOLDER": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"},
        cwd=tmp_path.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "The worker cannot start: SCRATCH_FOLDER" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
