"""The stack in containers, which all tests of this folder share, in the order of their files."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.compose.stack import ComposeStack

RATE_HZ = 44_100


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of it where no engine answers: `make test-compose` gets one."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    has_engine = (
        shutil.which("docker") and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    )
    for item in ours:
        # The first test of all waits until the images are built.
        item.add_marker(pytest.mark.timeout(1500))
        if not has_engine:
            item.add_marker(pytest.mark.skip(reason="no Docker engine answers; use: make test-compose"))


@pytest.fixture(scope="session")
def built() -> Iterator[ComposeStack]:
    """The images, built as an operator does it. At the end nothing of the project is left."""
    with tempfile.TemporaryDirectory(prefix="stemqueue-compose-") as folder:
        stack = ComposeStack(Path(folder))
        stack.prepare()
        try:
            stack.compose("--profile", "storage", "--profile", "models", "build", "--quiet")
            yield stack
        finally:
            left = stack.remove()
        assert left == {"containers": [], "volumes": [], "networks": [], "images": []}


@pytest.fixture(scope="session")
def stack(built: ComposeStack) -> ComposeStack:
    """The running stack, with one worker."""
    built.up()
    return built


@dataclass
class Songs:
    """One of six seconds, and one that is long enough to be in the middle of."""

    short: Path
    long: Path


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Songs:
    """The songs."""
    folder = tmp_path_factory.mktemp("songs")
    return Songs(write_song(folder / "short.flac", 6), write_song(folder / "long.flac", 1500))


def write_song(path: Path, seconds: int) -> Path:
    """Write a beat under a tone that glides, three seconds at a time."""
    t = np.arange(3 * RATE_HZ) / RATE_HZ
    beat = np.sin(2 * np.pi * 110 * t) * np.exp(-6 * (t % 0.5))
    voice = 0.3 * np.sin(2 * np.pi * (440 * t + 30 * np.sin(2 * np.pi * t / 3)))
    block = (0.5 * np.stack([beat + voice, beat - voice], axis=1)).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2) as file:
        for _ in range(seconds // 3):
            file.write(block)
    return path
