"""What is refused, with which error, and what is not blamed on the file: limits, no audio, other processes."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from shared.errors import (
    AudioEmptyError,
    AudioTooLongError,
    AudioUnreadableError,
    AudioUnsupportedError,
    SeparationFailedError,
    StemqueueError,
)
from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.integration.worker.audio_files.test_decode import GENEROUS, take_in
from tests.integration.worker.pipeline.test_timelines import ogg_with_last_time
from worker.audio_files import packet_walk
from worker.audio_files.decode import decode_file
from worker.audio_files.ffmpeg import bundled_ffmpeg
from worker.audio_files.probe import probe_file
from worker.run_support.workspace import Workspace


def test_a_header_that_declares_too_much_is_refused_before_decoding(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(10)), tmp_path / "song.flac")
    with pytest.raises(AudioTooLongError, match="10 s long; the limit is 5 s"):
        take_in(path, tmp_path / "s", max_seconds=5)
    assert not (tmp_path / "s" / "mixture.wav").exists()


def test_a_header_that_declares_too_little_does_not_evade_the_limit(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "in.wav", make_song(10), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    with pytest.raises(AudioTooLongError):
        take_in(path, tmp_path / "s", max_seconds=5)


def test_audio_that_needs_more_disk_than_a_job_has_is_refused(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(10)), tmp_path / "song.flac")
    with pytest.raises(AudioTooLongError, match="one job may use"):
        take_in(path, tmp_path / "s", max_bytes=1_000_000)


def test_a_wrapped_timestamp_does_not_count_against_the_disks_share(tmp_path: Path) -> None:
    path = ogg_with_last_time(tmp_path / "song.ogg", 0.0001)
    _, audio = take_in(path, tmp_path / "s", max_bytes=100_000_000, max_seconds=1e6)
    assert audio.n_samples == pytest.approx(132_300, abs=2_000)


def test_the_decoder_is_stopped_at_the_disks_share_when_the_header_hides_the_length(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(10)), tmp_path / "song.flac")
    folder = tmp_path / "s"
    folder.mkdir()
    found = probe_file(path, workspace=Workspace(folder, max_bytes=GENEROUS), ffmpeg_path=None, max_seconds=3600)
    with pytest.raises(AudioTooLongError, match="more bytes than one job may use"):
        decode_file(
            path,
            found,
            workspace=Workspace(folder, max_bytes=1_000_000),
            ffmpeg_path=None,
            max_seconds=3600,
            progress=lambda _: None,
        )
    assert (folder / "mixture.wav").stat().st_size <= 1_000_000


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", AudioEmptyError),
        (b"<html>no</html>" * 100, AudioUnreadableError),
        (os.urandom(5000), AudioUnreadableError),
    ],
)
def test_files_that_are_not_audio_have_their_own_errors(
    tmp_path: Path, content: bytes, error: type[StemqueueError]
) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(error):
        take_in(path, tmp_path / "s")


def test_rates_and_channels_out_of_range_are_unsupported(tmp_path: Path) -> None:
    song = np.zeros((1, 3000), dtype=np.float32)
    with pytest.raises(AudioUnsupportedError, match="3000 Hz"):
        take_in(write_wav(tmp_path / "slow.wav", song, 3_000), tmp_path / "s")
    many = write_wav(tmp_path / "many.wav", np.zeros((9, 3000), dtype=np.float32))
    with pytest.raises(AudioUnsupportedError, match="9 channels"):
        take_in(many, tmp_path / "s")


def test_a_playlist_opens_neither_files_nor_connections(tmp_path: Path) -> None:
    write_wav(tmp_path / "secret.wav", make_song(1))
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    port = server.getsockname()[1]
    asked = threading.Event()

    def accept() -> None:
        try:
            server.accept()[0].close()
            asked.set()
        except TimeoutError:
            return

    listener = threading.Thread(target=accept)
    listener.start()
    playlists = {
        "concat.mp3": f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
        "hls.m4a": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:{port}/a.ts\n",
        "local.mp3": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{tmp_path}/secret.wav\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioUnreadableError):
            take_in(tmp_path / name, tmp_path / "s")
    listener.join()
    server.close()
    assert not asked.is_set()


def test_a_killed_decoder_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    killed = tmp_path / "ffmpeg"
    # STAND-IN for an ffmpeg that the kernel kills because memory is short, after a second of sound.
    killed.write_text("#!/usr/bin/perl\n$| = 1; print chr(0) x 100000; kill KILL => $$;\n")
    killed.chmod(0o755)
    song, folder = write_wav(tmp_path / "in.wav", make_song()), tmp_path / "s"
    folder.mkdir()
    workspace = Workspace(folder, max_bytes=GENEROUS)
    with pytest.raises(SeparationFailedError, match="Another program stopped") as told:
        probe_file(song, workspace=workspace, ffmpeg_path=str(killed), max_seconds=60)
    assert told.value.retryable
    found = probe_file(song, workspace=workspace, ffmpeg_path=None, max_seconds=60)
    with pytest.raises(SeparationFailedError, match="Another program stopped"):
        decode_file(song, found, workspace=workspace, ffmpeg_path=str(killed), max_seconds=60, progress=lambda _: None)


@pytest.mark.parametrize("content", [None, "no program", "#!/bin/sh\nexit 1\n"])
def test_a_missing_ffmpeg_is_not_blamed_on_the_file(tmp_path: Path, content: str | None) -> None:
    broken, folder = tmp_path / "ffmpeg", tmp_path / "s"
    folder.mkdir()
    if content is not None:
        broken.write_text(content)
        broken.chmod(0o755)
    song = write_wav(tmp_path / "in.wav", make_song())
    with pytest.raises(SeparationFailedError, match="cannot be started") as told:
        probe_file(song, workspace=Workspace(folder, max_bytes=GENEROUS), ffmpeg_path=str(broken), max_seconds=60)
    assert told.value.retryable


def waiting_ffmpeg(path: Path, seconds: float) -> str:
    # STAND-IN for an overloaded machine: the real ffmpeg, but late. It may run nothing from other folders, and
    # start no process beside itself.
    real = shutil.copy(bundled_ffmpeg(), path.with_name("real-ffmpeg"))
    path.write_text(f'#!/usr/bin/perl\nselect undef, undef, undef, {seconds}; exec "{real}", @ARGV;\n')
    path.chmod(0o755)
    return str(path)


def test_a_machine_too_busy_to_probe_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_walk, "PROBE_SECONDS", 0.3)
    song, folder = write_wav(tmp_path / "in.wav", make_song()), tmp_path / "s"
    folder.mkdir()
    workspace = Workspace(folder, max_bytes=GENEROUS)
    late = waiting_ffmpeg(tmp_path / "late", 1.0)
    assert probe_file(song, workspace=workspace, ffmpeg_path=late, max_seconds=60).sample_rate_hz == 44_100
    monkeypatch.setattr(packet_walk, "STARVED_SECONDS", 0.3)
    never = waiting_ffmpeg(tmp_path / "never", 60.0)
    with pytest.raises(SeparationFailedError, match="too busy") as told:
        probe_file(song, workspace=workspace, ffmpeg_path=never, max_seconds=60)
    assert told.value.retryable


def test_a_file_that_keeps_the_prober_busy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_walk, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(packet_walk, "STARVED_PROCESSOR_SECONDS", 0.01)
    busy = tmp_path / "busy"
    # STAND-IN for an ffmpeg that a file sends into an endless loop.
    busy.write_text("#!/bin/sh\necho ffmpeg version 0 >&2\nwhile :; do :; done\n")
    busy.chmod(0o755)
    folder = tmp_path / "s"
    folder.mkdir()
    with pytest.raises(AudioUnreadableError):
        probe_file(
            write_wav(tmp_path / "in.wav", make_song()),
            workspace=Workspace(folder, max_bytes=GENEROUS),
            ffmpeg_path=str(busy),
            max_seconds=60,
        )
