"""`make run` as people type it: in a fresh clone, from the machine's own Python, to stems on the disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import sin, tau
from pathlib import Path
from struct import pack
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from deploy.local.servers.seaweedfs import PORT_OFFSETS
from tests.fixtures.ports import find_free
from tests.fixtures.servers import StorageServer, ValkeyServer

ROOT = Path(__file__).parents[2]
# Spaces, quotes, shell's and make's own characters, a leading dash, and letters beyond ASCII.
ODD_NAME = "-a $b $(c) `d` 'e' \"f\" #%&; g\\h Ünï 歌.wav"

pytestmark = pytest.mark.timeout(600)  # the set-up of a clone downloads 1 GB


class Clone:
    """A clone of this repository, with ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api_port = find_free()
        self.url = f"http://127.0.0.1:{self.api_port}"
        self._environment = {
            # What a user's shell has: nothing of the tests' own environment, and no setting of ours.
            **{name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "PATH"} or "PIP_" in name},
            "API_PORT": str(self.api_port),
            "VALKEY_PORT": str(find_free()),
            "STORAGE_PORT": str(find_free(PORT_OFFSETS)),
        }

    def make(self, *variables: str, target: str = "run", **settings: str) -> subprocess.Popen[str]:
        """Start `make run` with make's variables and with settings in the environment, as a shell's job."""
        return subprocess.Popen(
            ["make", target, *variables],
            cwd=self.folder,
            env={**self._environment, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> Mapping[int, str]:
        """Return the processes that run from this clone, or in it."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command_line = (process / "cmdline").read_text(encoding="utf-8", errors="replace")
                folder = (process / "cwd").readlink()
            except OSError:  # gone meanwhile
                continue
            if str(self.folder) in command_line or folder.is_relative_to(self.folder):
                found[int(process.name)] = command_line.replace("\0", " ")
        return found

    def process(self, part_of_command: str) -> int:
        """Return the oldest process with this in its command line."""
        return min(pid for pid, command in self.processes().items() if part_of_command in command)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("user") / "a clone"
    made_here = (".venv*", ".git", "var", "stems", "build", "*.egg-info", "*_cache", "__pycache__", "node_modules")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*made_here))
    clone = Clone(folder)
    yield clone
    for pid in clone.processes():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder / ".venv", ignore_errors=True)


@contextmanager
def running(clone: Clone, **settings: str) -> Iterator[list[str]]:
    """Run the stack until the block ends, then stop it as a Ctrl-C does; yields its log, complete afterwards."""
    log: list[str] = []
    with clone.make(**settings) as make:
        assert make.stdout
        try:
            before = list(iter(make.stdout.readline, f"ready {clone.url}\n")) if make.poll() is None else []
            assert all(line.startswith(("setting up", "  ")) for line in before), before
            yield log
        finally:
            os.killpg(make.pid, signal.SIGINT)
            rest, errors = make.communicate(timeout=40)
            log += errors.splitlines()
            print(errors)
    assert rest == "", "one line says that the stack is ready, and nothing follows it"
    assert not clone.processes()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited a minute in vain"
        time.sleep(0.1)


def is_ready(clone: Clone) -> bool:
    try:
        with urlopen(f"{clone.url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def write_song(file: Path, seconds: int = 9) -> Path:
    """Write a beat that repeats every second under a tone that glides."""
    rate = 22_050
    samples = (
        0.4 * sin(tau * 110 * n / rate) * (n % rate < rate / 4) + 0.3 * sin(tau * (300 + 20 * n / rate) * n / rate)
        for n in range(seconds * rate)
    )
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", ""))
        sound.writeframes(b"".join(pack("<h", int(32_000 * sample)) for sample in samples))
    return file


def test_a_fresh_clone_becomes_a_running_stack_that_heals_and_leaves_nothing(clone: Clone) -> None:
    with running(clone) as log:
        credentials = clone.folder / "var/credentials.json"
        assert credentials.stat().st_mode & 0o777 == 0o600
        assert (clone.folder / "var").stat().st_mode & 0o777 == 0o700

        with clone.make() as second:
            _, errors = second.communicate(timeout=60)
        assert second.returncode
        assert f"is already running at {clone.url}" in errors

        os.kill(clone.process("valkey-server"), signal.SIGKILL)
        wait_for(lambda: not is_ready(clone))
        wait_for(lambda: is_ready(clone))
    text = "\n".join(log)
    assert "valkey exited with code -9; restarting in 1 s" in text
    assert not [secret for secret in json.loads(credentials.read_text(encoding="utf-8")).values() if secret in text]
    assert {line.split("|")[0].strip() for line in log if "|" in line} >= {"stack", "api", "worker"}


def test_a_song_with_an_odd_name_becomes_its_stems_and_the_stack_ends_with_it(clone: Clone) -> None:
    song = write_song(clone.folder / ODD_NAME)
    with clone.make(f"SONG={song.name}", "ENGINE=repetition", "FORMAT=wav", "EXCERPT=2+6") as make:
        output, errors = make.communicate(timeout=300)
    assert make.returncode == 0, output + errors
    stems = clone.folder / "stems" / song.stem
    assert {"vocals.wav", "accompaniment.wav", "report.json"} <= {file.name for file in stems.iterdir()}
    assert "stack   |" not in errors, "the stack's own log goes to a file"
    assert not clone.processes()


def test_a_running_stack_is_used_and_once_it_was_killed_the_next_start_finds_its_jobs_and_stems(clone: Clone) -> None:
    with clone.make() as make:
        assert make.stdout
        assert make.stdout.readline() == f"ready {clone.url}\n"
        separate_a_song(clone)
        send_a_file_that_is_no_audio(clone)
        operate(clone)
        assert is_ready(clone), "a stack that ran before goes on"
        os.kill(clone.process("deploy.local.stack"), signal.SIGKILL)
        with running(clone) as log:  # at once: nobody survives, so ports and lock are free again
            assert is_ready(clone)
            find_the_song_again(clone)
    assert all(line.split("|")[0].strip() in {"stack", "valkey", "storage", "api", "worker"} for line in log), log
    assert len(log) < 30, "what a new user sees first fits a screen"


def separate_a_song(clone: Clone) -> None:
    song = write_song(clone.folder / "song.wav")
    with clone.make(f"SONG={song}", "ENGINE=repetition", f"OUT={clone.folder / 'my stems'}") as make:
        output, errors = make.communicate(timeout=300)
    assert make.returncode == 0, output + errors


def find_the_song_again(clone: Clone) -> None:
    with urlopen(f"{clone.url}/v1/jobs?limit=2", timeout=10) as answer:
        jobs = json.load(answer)["jobs"]
    job = next(job for job in jobs if job["state"] == "succeeded")
    links = {stem["name"]: stem["url"] for stem in job["stems"]}
    with urlopen(f"{clone.url}{links['vocals']}", timeout=10) as answer:
        assert answer.read() == (clone.folder / "my stems/vocals.flac").read_bytes()


def send_a_file_that_is_no_audio(clone: Clone) -> None:
    """It ends with one clear line."""
    (clone.folder / "notes.mp3").write_text("not a song\n" * 100, encoding="utf-8")
    with clone.make("SONG=notes.mp3") as make:
        _, errors = make.communicate(timeout=300)
    assert make.returncode
    assert "Traceback" not in errors
    complaint, makes_own = errors.splitlines()[-2:]
    assert complaint.startswith("Error: ")
    assert makes_own.startswith("make: *** ")


def operate(clone: Clone) -> None:
    """Reach the stack as an operator, without looking for its credentials."""
    with clone.make("DO=keys create --owner anna", target="admin") as make:
        output, errors = make.communicate(timeout=60)
    assert make.returncode == 0, errors
    assert output.startswith("sq_")
    with clone.make(target="admin") as make:
        output, errors = make.communicate(timeout=60)
    assert make.returncode == 0, errors
    assert ": 1 slots, " in output


def test_a_song_that_is_not_there_is_told_before_anything_starts(clone: Clone) -> None:
    with clone.make("SONG=no such $song.mp3") as make:
        output, errors = make.communicate(timeout=60)
    assert make.returncode
    assert errors.splitlines()[0] == "make: no such $song.mp3 is missing"
    assert output == ""


@pytest.mark.parametrize("setting", ["API_PORT", "VALKEY_PORT", "STORAGE_PORT"])
def test_a_taken_port_is_told_with_the_setting_that_helps(
    clone: Clone, session_valkey: ValkeyServer, setting: str
) -> None:
    taken = session_valkey.url.rpartition(":")[2].partition("/")[0]
    with clone.make(**{setting: taken}) as make:
        output, errors = make.communicate(timeout=60)
    assert make.returncode
    assert f"port {taken} is taken" in errors
    assert f"set {setting} to another" in errors
    assert "ready" not in output
    assert not clone.processes()


def test_servers_that_the_settings_name_are_used_and_none_is_started(
    clone: Clone, valkey_url: str, session_storage: StorageServer
) -> None:
    theirs = {name.upper(): value for name, value in session_storage.settings().items()}
    with running(clone, REDIS_URL=valkey_url, **theirs):
        started = " ".join(clone.processes().values())
        assert "valkey-server" not in started
        assert "/weed " not in started
        assert is_ready(clone)
