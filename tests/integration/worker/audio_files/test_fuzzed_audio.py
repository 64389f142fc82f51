"""Good files with some bytes turned, cut off, or lied about: each ends soon, in little memory and disk, by name."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.audio.formats import FORMATS
from tests.integration.worker.audio_files.test_hostile_audio import (
    MAX_MEMORY_BYTES,
    MAX_PROCESSOR_SECONDS,
    REFUSALS,
    assert_sound,
    processor_seconds,
    run,
)
from worker.child.process import ChildProcess

SECONDS, RATE_HZ = 2, 22_050

MAX_OUTPUT_BYTES = 50_000_000

SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III", "ogg": "VORBIS"}


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildProcess]:
    """One child for all files: what harms it harms the next job."""
    child = ChildProcess(
        threads=1,
        scratch_folder=tmp_path_factory.mktemp("scratch"),
        extra_engines=("tests.fixtures.stand_ins.engines",),
    )
    assert child.read_event(240) == {"event": "ready"}
    yield child
    child.end()


@pytest.fixture(scope="module", params=sorted(SUBTYPES))
def song(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound file of each kind."""
    assert request.param in FORMATS
    path = tmp_path_factory.mktemp("songs") / f"song.{request.param}"
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (SECONDS * RATE_HZ, 2))
    soundfile.write(path, noise, RATE_HZ, subtype=SUBTYPES[request.param])
    return path


def damaged(content: bytes, seed: int) -> bytes:
    """Return the content with bytes turned: anywhere, or in its head, where sizes and rates stand; or cut."""
    chance = random.Random(seed)
    turned = bytearray(content)
    reach = (len(turned), 64, 512)[seed % 3]
    for _ in range(chance.choice([1, 4, 32])):
        turned[chance.randrange(min(reach, len(turned)))] = chance.choice([0, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    return bytes(turned[: chance.randrange(1, len(turned))]) if seed % 5 == 4 else bytes(turned)


@pytest.mark.timeout(900)
def test_a_damaged_file_is_separated_or_refused_and_does_no_harm(
    song: Path, child: ChildProcess, tmp_path: Path
) -> None:
    content = song.read_bytes()
    for seed in range(10):
        path, folder = tmp_path / f"{seed}{song.suffix}", child.jobs_folder / f"{seed}{song.suffix}"
        path.write_bytes(damaged(content, seed))
        before = processor_seconds(child)
        event = run(child, path, folder)
        assert processor_seconds(child) - before < MAX_PROCESSOR_SECONDS, seed
        assert child.memory_bytes() < MAX_MEMORY_BYTES, seed
        assert not (folder / "scratch").exists(), seed
        assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < MAX_OUTPUT_BYTES, seed
        if event["event"] == "error":
            assert event["code"] in REFUSALS, (seed, event)
            assert not event["retryable"], seed
        else:
            assert_sound(folder / "out", event["outcome"], str(seed))
