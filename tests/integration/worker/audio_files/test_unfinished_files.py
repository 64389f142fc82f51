"""AIFF, Wave64, CAF and AU files whose header says too little of their size, or nothing: all of their sound is used."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.integration.worker.pipeline.test_run import heard, run
from worker.audio_files.headers.opening import plan_opening

N = 66_150
RATE_HZ = 44_100
SUBTYPES = {"AIFF": "PCM_24", "W64": "PCM_16", "CAF": "FLOAT", "AU": "PCM_24"}
BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}

# What each file says of its size: where the field is, behind which name, and how a size in bytes is written there.
FIELDS = {"AIFF": (b"SSND", 4, ">I", 8), "W64": (b"data", 16, "<Q", 24), "CAF": (b"data", 4, ">q", 4)}


def write(
    path: Path, container: str, subtype: str | None = None, *, claim: int | None = None, tail: bytes = b""
) -> Path:
    """Write 1.5 s of noise. `claim`: how many bytes of samples the header says there are."""
    samples = np.random.default_rng(3).uniform(-0.5, 0.5, (N, 2))
    soundfile.write(path, samples, RATE_HZ, format=container, subtype=subtype or SUBTYPES[container])
    content = bytearray(path.read_bytes())
    if claim is not None and container == "AU":
        content[8:12] = struct.pack(">I" if content[:4] == b".snd" else "<I", claim)
    elif claim is not None:
        name, place, form, more = FIELDS[container]
        place += content.index(name, 40 if container == "W64" else 12 if container == "AIFF" else 8)
        content[place : place + struct.calcsize(form)] = struct.pack(form, claim + (more if claim >= 0 else 0))
    path.write_bytes(content + tail)
    return path


@pytest.mark.parametrize("container", SUBTYPES)
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_samples_behind_the_size_in_the_header_are_used(tmp_path: Path, container: str, share: float) -> None:
    n_bytes = 2 * N * BYTES[SUBTYPES[container]]
    path = write(tmp_path / "song", container, claim=int(share * n_bytes) // 24 * 24)
    outcome = run(tmp_path, path, format="wav", format_options={"bit_depth": 32})
    assert outcome.report["source"]["duration_seconds"] == pytest.approx(N / RATE_HZ)
    assert outcome.report["notes"] == (
        ["The file is longer than its header says; all of its sound was used."] if share else []
    )
    mixture, _ = soundfile.read(write(tmp_path / "whole", container))
    total = sum(heard(tmp_path, outcome, stem) for stem in ("vocals", "accompaniment"))
    assert np.allclose(total.T, mixture, atol=1e-5)


@pytest.mark.parametrize("container", ["AIFF", "W64", "CAF"])
def test_a_file_that_was_cut_off_is_told(tmp_path: Path, container: str) -> None:
    path = write(tmp_path / "song", container)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    notes = run(tmp_path, path).report["notes"]
    assert any(note.startswith("The file declares 1.50 s but contains 0.") for note in notes)


AFTER = {
    "AIFF": struct.pack(">4sI", b"ANNO", 6000) + b"\1" * 6000,
    "W64": b"info" + bytes.fromhex("f3acd3118cd100c04f8edb8a") + struct.pack("<Q", 6024) + b"\1" * 6000,
    "CAF": struct.pack(">4sq", b"free", 6000) + b"\1" * 6000,
}


@pytest.mark.parametrize("container", AFTER)
def test_chunks_behind_the_samples_are_no_sound(tmp_path: Path, container: str) -> None:
    path = write(tmp_path / "song", container, tail=AFTER[container])
    assert plan_opening(path) == plan_opening(write(tmp_path / "plain", container))
    assert run(tmp_path, path).report["source"]["duration_seconds"] == pytest.approx(N / RATE_HZ)


@pytest.mark.parametrize(
    "tail", [b"ID3\4\0\0\0\x18\0\0" + b"\1" * 400_000, bytes(400_000), b"\0" * 9 + b"TAG" + b"a" * 5_000, b"\1"]
)
@pytest.mark.parametrize("container", SUBTYPES)
def test_a_tag_or_zeros_behind_the_samples_are_no_sound(tmp_path: Path, container: str, tail: bytes) -> None:
    path = write(tmp_path / "song", container, tail=tail)
    report = run(tmp_path, path).report
    assert report["source"]["duration_seconds"] == pytest.approx(N / RATE_HZ)
    assert "The file is longer than its header says; all of its sound was used." not in report["notes"]


@pytest.mark.parametrize("container", AFTER)
def test_no_samples_and_a_chunk_are_an_empty_file(tmp_path: Path, container: str) -> None:
    path = tmp_path / "song"
    soundfile.write(path, np.zeros((0, 2)), RATE_HZ, format=container, subtype=SUBTYPES[container])
    path.write_bytes(path.read_bytes() + AFTER[container])
    assert plan_opening(path).raw == ()


@pytest.mark.parametrize(
    ("container", "subtype"), [("AIFF", "ULAW"), ("CAF", "ALAW"), ("AU", "ULAW"), ("W64", "IMA_ADPCM")]
)
def test_coded_samples_are_left_to_ffmpeg(tmp_path: Path, container: str, subtype: str) -> None:
    path = write(tmp_path / "song", container, subtype, claim=0)
    assert plan_opening(path).raw == ()


@pytest.mark.parametrize("container", SUBTYPES)
def test_damaged_headers_end_in_a_plan_or_none(tmp_path: Path, container: str) -> None:
    path = write(tmp_path / "song", container)
    content = path.read_bytes()
    random = np.random.default_rng(5)
    for _ in range(300):
        changed = bytearray(content[: int(random.integers(1, 400))] if random.random() < 0.3 else content[:2000])
        for place in random.integers(0, min(len(changed), 150), 4):
            changed[place] = int(random.integers(256))
        path.write_bytes(changed)
        plan_opening(path)
