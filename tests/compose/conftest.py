"""The stacks in containers, which all tests of this folder share."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.outage import Outage
from tests.compose.stack import NOTHING, PROJECT, ComposeStack, remove_images
from tests.fixtures.sounds.songs import Songs, write_song

ORDER = (
    "test_life",
    *("test_images", "test_models", "test_workers", "test_proxy", "test_settings"),
    *("test_outage", "test_upgrade"),
)
"""The order of the files. From test_images to test_settings the storage of the first stack is away: these files need
none, or have the second stack."""


def pytest_sessionstart() -> None:
    """When CI is stopped, end in order, so that a machine's own engine keeps no containers."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("stopped by SIGTERM"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files in order. Skip all of it where no engine answers: `make test-compose` gets one."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    others = [item for item in items if item not in ours]
    ours.sort(key=lambda item: ORDER.index(item.path.stem))
    items[:] = [*others, *ours]
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
            images = remove_images()
        assert (left, images) == (NOTHING, [])


@pytest.fixture(scope="session")
def stack(built: ComposeStack) -> ComposeStack:
    """The running stack, with one worker."""
    built.up()
    return built


@pytest.fixture(scope="session")
def second_stack(stack: ComposeStack, outage: Outage) -> Iterator[ComposeStack]:
    """Another stack on the same machine, with a name and ports of its own. It is not running yet."""
    del outage  # It fills the time that an outage of the first stack takes.
    with tempfile.TemporaryDirectory(prefix="stemqueue-compose-") as folder:
        second = ComposeStack(Path(folder), project=f"{stack.project}-2")
        second.prepare(machine=f"{PROJECT}_machine")
        try:
            yield second
        finally:
            left = second.remove()
        assert left == NOTHING


@pytest.fixture(scope="session")
def outage(stack: ComposeStack, songs: Songs) -> Outage:
    """The storage of the first stack is away. Who ends the outage is `test_outage`."""
    return Outage(stack, songs)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Songs:
    """The songs."""
    folder = tmp_path_factory.mktemp("songs")
    return Songs(write_song(folder / "short.flac", 6), write_song(folder / "long.flac", 600))
