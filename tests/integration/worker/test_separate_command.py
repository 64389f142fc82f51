from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner, Result
from mutagen.flac import FLAC

from tests.fixtures.sounds.audio import make_song, write_wav
from worker.separate_command import main

# The first start in a new environment compiles every module that it imports.
pytestmark = pytest.mark.timeout(900)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "worker.separate_command", *(str(a) for a in arguments)]


def separate(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # Without networks, whatever this clone has set up.
    own = {"MODEL_FOLDER": "no/such/folder", **(environment or {})}
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env={**os.environ, **own})


@pytest.fixture
def separate_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Return a function that runs the command in this process: each start of its own takes seconds of imports."""
    monkeypatch.setenv("MODEL_FOLDER", "no/such/folder")
    handler = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "a 'song' $x.wav", make_song(6, sample_rate_hz=11_025), 11_025)


def test_it_writes_stems_report_and_picture(tmp_path: Path, song: Path) -> None:
    out = tmp_path / "stems of it"
    done = separate(song, out, "--engine", "repetition", "--preset", "original", "--bit-depth", "16")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(out / "vocals.flac"), str(out / "accompaniment.flac")]
    for name in ("vocals.flac", "accompaniment.flac"):
        assert soundfile.info(out / name).frames == 66_150
    assert json.loads((out / "report.json").read_text())["preset"] == "original"
    assert (out / "spectrogram.png").stat().st_size > 10_000
    assert {p.name for p in tmp_path.iterdir()} == {song.name, out.name}


def test_it_writes_mixes_alone(tmp_path: Path, song: Path, separate_here: Callable[..., Result]) -> None:
    out = tmp_path / "mixes"
    mixes = ("--mix", "minus:vocals", "--mix", "quiet=vocals:-20")
    done = separate_here(song, out, "--engine", "repetition", "--stems", "none", *mixes)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(out / "minus-vocals.flac"), str(out / "quiet.flac")]
    assert {p.suffix for p in out.iterdir()} == {".flac", ".json", ".png"}
    assert FLAC(out / "quiet.flac")["title"] == ["a 'song' $x (quiet)"]


def test_without_a_network_it_says_which_engine_stood_in(tmp_path: Path, song: Path) -> None:
    done = separate(song, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("note: repetition separated the song, because the better engine unet")
    assert done.stderr.count("\n") == 1


def test_the_setting_names_the_engine_and_modules_bring_more(tmp_path: Path, song: Path) -> None:
    own = {
        "DEFAULT_ENGINE": "share",
        "EXTRA_ENGINES": "tests.fixtures.stand_ins.engines",
        "PYTHONPATH": str(Path.cwd()),
    }
    done = separate(song, tmp_path / "out", environment=own)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "out/report.json").read_text())["engine"] == "share"


def test_what_is_no_audio_is_one_line_and_exit_1(tmp_path: Path) -> None:
    path = tmp_path / "page.mp3"
    path.write_text("<html>")
    done = separate(path, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == "stemqueue-separate: The file cannot be read as audio.\n"
    assert not (tmp_path / "out").exists()


def test_a_process_of_its_own_ends_with_2_after_wrong_usage(tmp_path: Path, song: Path) -> None:
    done = separate(song, tmp_path / "out", "--nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--excerpt", "90"], "90+20"),
        (["--format", "aiff"], "aiff"),
        (["--threads", "0"], "threads"),
        (["--parameter", "x"], "NAME=VALUE"),
        (["--mix", "vocals"], "minus:STEM"),
        (["--mix", "minus:vocals", "--mix", "minus-vocals=only:vocals"], "two mixes"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_exit_2(
    tmp_path: Path, song: Path, separate_here: Callable[..., Result], arguments: list[str], words: str
) -> None:
    done = separate_here(song, tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "magic"], "'magic' cannot run here"),
        (["--engine", "repetition", "--preset", "magic"], "magic"),
        (["--format", "mp3", "--bit-depth", "16"], "bitrate_kbps"),
        (["--stems", "drums"], "vocals, accompaniment"),
        (["--mix", "minus:drums"], "vocals, accompaniment"),
        (["--excerpt", "90+20"], "the audio ends at 6.00 s"),
        (["--audio-stream", "2"], "audio_stream is 2, but the file has 1 audio stream, counted from 1."),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    tmp_path: Path, song: Path, separate_here: Callable[..., Result], arguments: list[str], words: str
) -> None:
    done = separate_here(song, tmp_path / "out", *arguments)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert words in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(song: Path) -> None:
    done = separate(song, "/proc/nowhere/out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_halfway_it_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    long = write_wav(tmp_path / "long.wav", make_song(40), subtype="PCM_16")
    process = subprocess.Popen(
        command(long, tmp_path / "out", "--engine", "repetition", "--preset", "original"),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("out/.stemqueue-*.partial/scratch/mixture.wav")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert {p.name for p in tmp_path.iterdir()} == {"long.wav"}


QUICK = ("--engine", "repetition", "--preset", "original")


def test_it_writes_into_a_mount_point_and_below_a_read_only_root(tmp_path: Path, song: Path) -> None:
    """As in a container: the volume may be written to, and nothing beside it."""
    root = tmp_path / "root"
    root.mkdir()
    script = (
        'mount -t tmpfs tmpfs "$1" && mkdir "$1/out" && mount -t tmpfs -o size=64m tmpfs "$1/out" &&'
        ' mount -o remount,ro "$1" && shift && "$@" && ls -A "$OUT"'
    )
    shell = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(root)]
    if subprocess.run([*shell[:4], "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    out = root / "out"
    own = {**os.environ, "MODEL_FOLDER": "no/such/folder", "OUT": str(out)}
    done = subprocess.run([*shell, *command(song, out, *QUICK)], capture_output=True, text=True, check=False, env=own)
    assert done.returncode == 0, done.stderr
    assert {"vocals.flac", "accompaniment.flac", "report.json"} <= set(done.stdout.splitlines())
    assert ".partial" not in done.stdout


@pytest.mark.parametrize("name", ["a" * 240, "b" * 255, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 120])
def test_the_folder_may_have_a_name_as_long_as_names_can_be(
    tmp_path: Path, song: Path, separate_here: Callable[..., Result], name: str
) -> None:
    done = separate_here(song, tmp_path / name, *QUICK)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (tmp_path / name / "vocals.flac").exists()


def test_a_song_may_have_a_name_as_long_as_names_can_be(
    tmp_path: Path, song: Path, separate_here: Callable[..., Result]
) -> None:
    long = song.rename(tmp_path / ("c" * 251 + ".wav"))
    assert separate_here(long, tmp_path / "out", *QUICK).exit_code == 0


def test_into_a_folder_that_exists_nothing_else_changes(
    tmp_path: Path, song: Path, separate_here: Callable[..., Result]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").touch()
    assert separate_here(song, out, "--engine", "magic").exit_code == 1
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    assert separate_here(song, tmp_path / "a/b/c", "--engine", "magic").exit_code == 1
    assert not (tmp_path / "a").exists(), "folders that were made for nothing are removed"


@pytest.mark.parametrize(
    ("name", "title", "options"),
    [
        (b"Beyonc\xe9 - D\xe9j\xe0 Vu.wav", "Beyonc\xe9 - D\xe9j\xe0 Vu", ()),
        (b"\x80uro\x85.wav", "\u20acuro\u2026", ("--format", "mp3")),
        (b"\xff\x81.wav", "\xff", ("--format", "m4a")),
    ],
)
def test_names_that_are_not_utf_8_are_read_as_windows_1252(
    tmp_path: Path, song: Path, name: bytes, title: str, options: tuple[str, ...]
) -> None:
    odd = song.rename(tmp_path / os.fsdecode(name))
    out = tmp_path / os.fsdecode(b"stems of \xe9")
    done = subprocess.run(
        [*map(os.fsencode, command(odd, out, *QUICK, *options))],
        capture_output=True,
        check=False,
        env={**os.environ, "MODEL_FOLDER": "no/such/folder"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    stem = out / f"vocals.{options[-1] if options else 'flac'}"
    assert done.stdout.splitlines()[0] == os.fsencode(stem)
    assert json.loads((out / "report.json").read_text())["source"]["filename"].startswith(title)
    if not options:
        assert FLAC(stem)["title"][0].startswith(title)
