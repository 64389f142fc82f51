"""Sizes in WAV headers that wrapped at 4 GiB. The files are sparse, so they take no space."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from worker.audio_files.headers.riff_chunks import WRAP_BYTES, end_of_samples, read_riff_chunks, seconds_before_cut

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


def chunk(name: bytes, content: bytes, *, claimed: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if claimed is None else claimed) + content


NOISE = bytes(n * 37 % 251 + 1 for n in range(60_000))


@pytest.mark.parametrize("n_bytes", [100_000, 100_001])
@pytest.mark.parametrize(
    "tail",
    [
        chunk(b"id3 ", NOISE),
        chunk(b"id3 ", NOISE[:30_000], claimed=60_000),
        chunk(b"id3 ", NOISE) + bytes(8192),
        chunk(b"LIST", NOISE[:100], claimed=7) + NOISE[:9000],
        b"APETAGEX" + NOISE,
        bytes(300) + chunk(b"bext", NOISE[:5000], claimed=20_000),
    ],
    ids=["whole", "cut off", "zeros behind", "wrong size", "APE", "zeros before"],
)
@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_tags_behind_the_samples_are_no_sound(tmp_path: Path, n_bytes: int, tail: bytes, pad: bytes) -> None:
    path = large_wav(tmp_path / "song.wav", n_bytes, claimed=n_bytes, tail=pad * (n_bytes % 2) + tail)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert end_of_samples(path, chunks) is None


def test_samples_behind_a_size_that_is_too_small_are_sound(tmp_path: Path) -> None:
    path = large_wav(tmp_path / "song.wav", 100_000, claimed=100_000, tail=NOISE)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert end_of_samples(path, chunks) == path.stat().st_size


PLACEHOLDERS = [(1 << 64) - 1, (1 << 63) - 1, 1 << 62, (1 << 62) + (1 << 61), 1 << 40, (1 << 30) - 44]


@pytest.mark.parametrize("claimed", PLACEHOLDERS)
def test_an_rf64_size_that_no_file_has_is_unknown(tmp_path: Path, claimed: int) -> None:
    path = large_wav(tmp_path / "song.wav", 100_000, claimed=0xFFFFFFFF, rf64=claimed)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert (chunks.data_bytes, seconds_before_cut(chunks)) == (0, None)
    assert end_of_samples(path, chunks) == path.stat().st_size


@pytest.mark.parametrize("claimed", [400_000, WRAP_BYTES + 400_000])
def test_an_rf64_file_that_was_cut_off_tells_its_length(tmp_path: Path, claimed: int) -> None:
    path = large_wav(tmp_path / "song.wav", 100_000, claimed=0xFFFFFFFF, rf64=claimed)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert (seconds_before_cut(chunks), end_of_samples(path, chunks)) == (claimed / 192_000, None)


@pytest.mark.parametrize("claimed", [1 << 28, 1 << 30, (1 << 30) - 36, (1 << 31) - 4096, 1 << 31, 0xFFFFFFFF])
def test_a_size_that_stands_for_unknown_is_no_length(tmp_path: Path, claimed: int) -> None:
    path = large_wav(tmp_path / "song.wav", 100_000, claimed=claimed)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert (seconds_before_cut(chunks), end_of_samples(path, chunks)) == (None, None)


@pytest.mark.parametrize(
    ("claimed", "rf64"), [(0xFFFFFFFF, 0), (0xFFFFFFFF, 1 << 62), (0, None), (1 << 30, None), (0xFFFFFFFF, None)]
)
@pytest.mark.parametrize(
    "tail",
    [
        chunk(b"LIST", b"INFO" + chunk(b"INAM", NOISE[:10_000])),
        chunk(b"id3 ", NOISE),
        chunk(b"bext", NOISE[:602]) + chunk(b"ownA", NOISE[:300]) + chunk(b"id3 ", NOISE) + bytes(512),
    ],
    ids=["LIST", "id3", "several"],
)
def test_tags_behind_samples_of_unknown_size_are_no_sound(
    tmp_path: Path, claimed: int, rf64: int | None, tail: bytes
) -> None:
    # The sound itself holds a name by chance.
    tail = NOISE[:1000] + b"LIST" + NOISE[:1000] + tail
    path = large_wav(tmp_path / "song.wav", 100_000, claimed=claimed, rf64=rf64, tail=tail)
    chunks = read_riff_chunks(path)
    assert chunks is not None
    assert end_of_samples(path, chunks) == chunks.data_start + 100_000 + 2004
