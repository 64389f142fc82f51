"""Which lines of ffmpeg's log say that a file is encrypted."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.audio_files.headers.encryption import is_encrypted
from worker.audio_files.headers.probe_log import AudioStream, LoggedFile

STREAM = AudioStream(0, "aac", "mp4a", 44_100, "stereo", None, None, None, can_decode=True, is_default=True)
SONG = LoggedFile("mov,mp4,m4a", 1.0, 0.0, (STREAM,), (), has_video=False)
NOTHING = LoggedFile("mp3", None, 0.0, (), (), has_video=False)


@pytest.mark.parametrize(
    ("line", "encrypted"),
    [
        ("[asf @ 0x55d0c8a2b0c0] DRM protected stream detected, decoding will likely fail!", True),
        ("[in#0 @ 0x55] [asf @ 0x7f] Digital signature detected", True),
        ("    comment         : Not DRM protected", False),
        ("                    : [asf @ 0x1] DRM protected", False),
        ("    title           : The heart is encrypted", False),
    ],
)
def test_only_ffmpegs_own_lines_count(tmp_path: Path, line: str, encrypted: bool) -> None:
    log = f"ffmpeg version 7\n[mp3 @ 0x1] Junk.\n  Metadata:\n{line}\n  Duration: 00:00:01.00\n"
    assert is_encrypted(tmp_path / "song.mp3", log, NOTHING) is encrypted


@pytest.mark.parametrize("size", [2**64 - 1, 2**63 - 1])
def test_a_box_may_claim_more_bytes_than_any_file_has(tmp_path: Path, size: int) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(b"\x00\x00\x00\x01free" + size.to_bytes(8, "big") + bytes(64))
    assert is_encrypted(path, "", SONG) is False
