from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from tests.fixtures.audio import make_song, write_wav


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "worker.separate_command", *(str(a) for a in arguments)]


def separate(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # Without networks, whatever this clone has set up.
    own = {"MODEL_FOLDER": "no/such/folder", **(environment or {})}
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env={**os.environ, **own})


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


def test_without_a_network_it_says_which_engine_stood_in(tmp_path: Path, song: Path) -> None:
    done = separate(song, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("note: separated by repetition, since unet")
    assert done.stderr.count("\n") == 1


def test_the_setting_names_the_engine_and_modules_bring_more(tmp_path: Path, song: Path) -> None:
    own = {"DEFAULT_ENGINE": "share", "EXTRA_ENGINES": "tests.fixtures.engines", "PYTHONPATH": str(Path.cwd())}
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--excerpt", "90"], "90+20"),
        (["--format", "aiff"], "aiff"),
        (["--threads", "0"], "threads"),
        (["--parameter", "x"], "NAME=VALUE"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_exit_2(tmp_path: Path, song: Path, arguments: list[str], words: str) -> None:
    done = separate(song, tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "magic"], "'magic' cannot run here"),
        (["--engine", "repetition", "--preset", "magic"], "magic"),
        (["--format", "mp3", "--bit-depth", "16"], "bitrate_kbps"),
        (["--stems", "drums"], "vocals, accompaniment"),
        (["--excerpt", "90+20"], "the audio ends at 6.00 s"),
        (["--audio-stream", "2"], "audio_stream is 2, but the file has 1 audio stream, counted from 1."),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    tmp_path: Path, song: Path, arguments: list[str], words: str
) -> None:
    done = separate(song, tmp_path / "out", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert words in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(song: Path) -> None:
    done = separate(song, "/proc/nowhere/out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_halfway_it_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    long = write_wav(tmp_path / "long.wav", make_song(120), subtype="PCM_16")
    process = subprocess.Popen(
        command(long, tmp_path / "out", "--engine", "repetition", "--preset", "original"),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob(".out.*/scratch/mixture.wav")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert {p.name for p in tmp_path.iterdir()} == {"long.wav"}
