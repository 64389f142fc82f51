from __future__ import annotations

from pathlib import Path

import pytest

from worker.audio_files.headers.musepack import read_musepack_span


def packet(key: bytes, content: bytes) -> bytes:
    return key + bytes([len(content) + 3]) + content


def header(samples: bytes, silence: bytes) -> bytes:
    return packet(b"SH", bytes(4) + b"\x08" + samples + silence + b"\x1b\x0b")


# 441,000 is 26 * 2**14 + 117 * 2**7 + 40.
SAMPLES = bytes([0x80 | 26, 0x80 | 117, 40])


@pytest.mark.parametrize(
    ("content", "span"),
    [
        (b"MPCK" + header(SAMPLES, b"\0") + packet(b"AP", bytes(9)), (481, 441_481)),
        (b"MPCK" + packet(b"RG", bytes(9)) + header(SAMPLES, b"\x64"), (581, 441_481)),
        (b"MPCK" + header(b"\0", b"\0"), (481, None)),
        (b"MP+\x07" + bytes(24), (481, None)),
        (b"MPCK" + packet(b"AP", bytes(9)), None),
        (b"MPCK" + header(b"\x80" * 9, b""), None),
        (b"MPCKSH", None),
        (b"MPCK" + b"RG\x00" * 40, None),
        (b"MPCK" + b"RG" + b"\xff" * 8 + b"\x7f" + bytes(24), None),
        (b"fLaC" + bytes(24), None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("before", [b"", b"ID3" + bytes(97)])
def test_the_samples_of_the_song_are_told_by_the_header(
    tmp_path: Path, content: bytes, span: tuple[int, int | None] | None, before: bytes
) -> None:
    path = tmp_path / "song.mpc"
    path.write_bytes(before + content)
    assert read_musepack_span(path, skip_bytes=len(before)) == span
