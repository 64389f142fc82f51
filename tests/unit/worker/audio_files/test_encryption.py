"""Which lines of ffmpeg's log say that a file is encrypted."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.audio_files.headers.encryption import is_encrypted
from worker.audio_files.headers.probe_log import LoggedFile

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
