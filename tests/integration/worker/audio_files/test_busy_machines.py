from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shared.errors import AudioUnreadableError, SeparationFailedError
from tests.fixtures.sounds.audio import make_song, write_wav
from worker.audio_files import decoder_run
from worker.audio_files.decode import decode_file
from worker.audio_files.ffmpeg import bundled_ffmpeg
from worker.audio_files.probe import probe_file
from worker.run_support.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return Workspace(folder, max_bytes=1_000_000_000)


def decode_with(script: str, tmp_path: Path, workspace: Workspace) -> float:
    """Decode a song with a stand-in for ffmpeg, a script in Perl; return the seconds of sound that came."""
    song, standing_in = write_wav(tmp_path / "in.wav", make_song()), tmp_path / "ffmpeg"
    found = probe_file(song, workspace=workspace, ffmpeg_path=None, max_seconds=60)
    real = shutil.copy(bundled_ffmpeg(), tmp_path / "real-ffmpeg")
    standing_in.write_text(f"#!/usr/bin/perl\n{script.format(real=real)}\n")
    standing_in.chmod(0o755)
    path, progress = str(standing_in), lambda _: None
    audio = decode_file(song, found, workspace=workspace, ffmpeg_path=path, max_seconds=60, progress=progress)
    return audio.duration_seconds


def test_a_decoder_without_processor_time_gets_more_time(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_run, "DECODE_SECONDS_BASE", 0.3)
    # STAND-IN for an overloaded machine.
    assert decode_with('sleep 1; exec "{real}", @ARGV;', tmp_path, workspace) == 2.0


def test_a_machine_too_busy_to_decode_is_not_blamed_on_the_file(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_run, "DECODE_SECONDS_BASE", 0.1)
    with pytest.raises(SeparationFailedError, match="too busy") as told:
        decode_with("sleep 60;", tmp_path, workspace)
    assert told.value.retryable


def test_a_file_that_keeps_the_decoder_busy_is_refused(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_run, "DECODE_SECONDS_BASE", 0.5)
    monkeypatch.setattr(decoder_run, "STARVED_TIMES", 1000.0)
    # STAND-IN for an ffmpeg that a file sends into an endless loop.
    with pytest.raises(AudioUnreadableError, match="to decode"):
        decode_with("while (1) {{}}", tmp_path, workspace)
