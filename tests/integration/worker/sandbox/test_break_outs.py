"""A program in ffmpeg's place, and an engine in a child, try to break out: each attempt is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.sounds.audio import make_song, write_wav
from tests.fixtures.stand_ins import breaking_out
from worker.audio_files import ffmpeg
from worker.child.process import ChildProcess
from worker.run_messages import Work
from worker.sandbox import launch

REFUSED = {"EPERM", "EACCES"}

OPEN_ELSEWHERE = {
    *("read a secret", "read the users", "read the environment of another", "look into a file that another has open"),
    "read the environment of the parent",
    *("open a secret to others", "give a secret away", "change a secret's times", "watch a folder"),
    *("write elsewhere", "link to a secret", "make a pipe with a name", "tcp", "udp", "unix socket"),
    *(
        "unix socket without a file",
        "netlink",
        "a pair of sockets",
        "signal another",
        "change another's limits",
        "fork",
    ),
}
"""Break-outs that work without a sandbox, whoever runs the tests."""


ENVIRONMENTS = {f"read the environment of {whom}" for whom in ("another", "the parent", "the first process")}


def in_ffmpegs_place(at: dict[str, Any]) -> dict[str, str]:
    """Run the break-out as ffmpeg is run. In addition it may read Python's own files."""
    command = [str(Path(sys.executable).resolve()), "-I", "-S", breaking_out.__file__, json.dumps(at)]
    sandbox = ffmpeg._sandbox(command[0], ffmpeg.Confinement(writable_folder=Path(at["writable"])))
    python = [("run", Path(sys.base_prefix)), ("read", Path(breaking_out.__file__))]
    sandbox = replace(sandbox, allowed=[*sandbox.allowed, *python])
    process = launch.start(command, sandbox, environment={}, stdout=subprocess.PIPE)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return dict(json.loads(printed))


def assert_all_refused(came: dict[str, str]) -> None:
    for name in breaking_out.ABSENT:
        assert came.pop(name) == "ENOSYS", name
    assert {name: answer for name, answer in came.items() if answer not in REFUSED} == {}


def test_without_a_sandbox_the_attempts_work(targets: dict[str, Any]) -> None:
    command = [sys.executable, "-I", "-S", breaking_out.__file__, json.dumps(targets)]
    came = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert {name: came[name] for name in OPEN_ELSEWHERE} == dict.fromkeys(OPEN_ELSEWHERE, "done")


def test_a_program_in_ffmpegs_place_reaches_nothing(targets: dict[str, Any]) -> None:
    came = in_ffmpegs_place(targets)
    assert came.keys() == breaking_out.attempts(targets).keys()
    assert_all_refused(came)


@pytest.mark.parametrize("part", ["landlock", "seccomp"])
def test_each_part_holds_what_the_other_does_not(
    targets: dict[str, Any], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    holds = launch.Protection(7 if part == "landlock" else 0, part == "seccomp")
    monkeypatch.setattr(launch, "protection", lambda: replace(holds, landlock=min(holds.landlock, found)))
    found = launch.landlock.version()
    came = in_ffmpegs_place(targets)
    done = {name for name, answer in came.items() if answer == "done"}
    if part == "landlock":
        assert {"unix socket", "udp", "fork"} <= done
        assert not {"read a secret", "write elsewhere", "signal another", *ENVIRONMENTS} & done
    else:
        assert {"read a secret", "write elsewhere"} <= done
        assert not {"unix socket", "udp", "tcp", "fork", "signal another", "change another's limits"} & done


def test_an_engine_in_a_child_reaches_nothing_and_the_next_song_is_separated(
    targets: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_SECRET_ACCESS_KEY", "a credential of the worker")
    child = ChildProcess(
        threads=2,
        scratch_folder=tmp_path / "scratch",
        extra_engines=("tests.fixtures.stand_ins.engines", "tests.fixtures.stand_ins.breaking_out_engine"),
    )
    job = child.jobs_folder / "job"
    job.mkdir()
    source = write_wav(job / "source", make_song(2))

    def separate(module: str, **options: Any) -> dict[str, Any]:
        work = Work(
            str(source), str(job / "out"), str(job / "scratch"), "song.wav", "share", extra_engines=(module,), **options
        )
        child.send_work(work)
        while True:
            event = child.read_event(200)
            assert event is not None
            if event["event"] in {"done", "error"}:
                return dict(event)

    try:
        at = {**targets, "writable": str(job)}
        event = separate("tests.fixtures.stand_ins.breaking_out_engine", parameters={"at": json.dumps(at)})
        told = json.loads(event["message"])
        assert told["came"].keys() == breaking_out.attempts(targets).keys() - {"fork"}
        assert_all_refused(told["came"])
        assert "S3_SECRET_ACCESS_KEY" not in told["environment"]
        assert told["environment"]
        for _ in range(3):
            assert separate("tests.fixtures.stand_ins.engines", format="mp3")["event"] == "done"
    finally:
        child.end()
    assert list((tmp_path / "scratch/children").iterdir()) == []
