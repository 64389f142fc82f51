"""Sizes in WAV headers that wrapped at 4 GiB. The files are sparse, so they take no space."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from worker.audio_files.headers.riff_chunks import WRAP_BYTES, end_of_samples, read_riff_chunks

FORMAT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, 48_000, 192_000, 4, 16)


def large_wav(path: Path, n_bytes: int, *, claimed: int, tail: bytes = b"", rf64: int | None = None) -> Path:
    """Write a WAV file whose samples are a hole of `n_bytes`."""
    ds64 = b"" if rf64 is None else b"ds64" + struct.pack("<IQQQI", 28, 0, rf64, 0, 0)
    head = b"WAVE" + ds64 + FORMAT + b"data" + struct.pack("<I", claimed)
    with path.open("wb") as file:
        file.write((b"RIFF" if rf64 is None else b"RF64") + struct.pack("<I", 0xFFFFFFFF if rf64 else 100) + head)
        start = file.tell()
        file.truncate(start + n_bytes)
        file.seek(start + n_bytes)
        file.write(tail)
    return path


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("tail", [b"", b"LIST" + struct.pack("<I", 10_000) + bytes(10_000)])
def test_a_size_that_wrapped_is_unwrapped(tmp_path: Path, times: int, tail: bytes) -> None:
    n_bytes = times * WRAP_BYTES + 1_000_000
    path = large_wav(tmp_path / "song.wav", n_bytes, claimed=1_000_000, tail=tail)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert end_of_samples(path, chunks) == chunks.data_start + n_bytes


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF])
def test_a_size_that_is_not_known_is_left_to_the_decoder(tmp_path: Path, claimed: int) -> None:
    path = large_wav(tmp_path / "song.wav", 1_000_000, claimed=claimed)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert end_of_samples(path, chunks) is None


def test_rf64_with_its_true_size_is_left_as_it_is(tmp_path: Path) -> None:
    n_bytes = WRAP_BYTES + 1_000_000
    tail = b"bext" + struct.pack("<I", 602) + bytes(602)
    path = large_wav(tmp_path / "song.wav", n_bytes, claimed=0xFFFFFFFF, rf64=n_bytes, tail=tail)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert chunks.data_bytes == n_bytes
    assert chunks.contents["bext"] == bytes(602)
    assert end_of_samples(path, chunks) is None


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0AVI ", b"RIFF\0\0\0\0WAVE", b"ID3" + bytes(100)])
def test_what_is_no_wav_has_no_chunks(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert read_riff_chunks(path) is None
