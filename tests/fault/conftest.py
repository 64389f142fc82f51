"""Fixtures of the fault tests: a song, a deployment, and a watcher on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.support.deployment import Deployment
from tests.fault.support.invariants import Watcher
from tests.fixtures.sounds.songs import Songs, write_song

SAMPLE_RATE_HZ = 22_050


def make_song(path: Path, seconds: float) -> Path:
    """Write a song at a rate that keeps it small."""
    return write_song(path, seconds, rate_hz=SAMPLE_RATE_HZ)


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of six seconds."""
    return make_song(tmp_path_factory.mktemp("songs") / "song.flac", 6.0)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Songs:
    """The songs. The long one has 3 MB, and takes a while to fetch, and its stems to store."""
    folder = tmp_path_factory.mktemp("songs")
    return Songs(make_song(folder / "short.wav", 4.0), make_song(folder / "long.wav", 30.0))


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """A function that starts a deployment with the given settings; all of it ends with the test."""
    started: list[Deployment] = []

    def start(
        *, workers: int = 1, prepare: Callable[[Deployment], dict[str, str]] = lambda _: {}, **overrides: str
    ) -> Deployment:
        deployment = Deployment(tmp_path / f"deployment{len(started)}", **overrides)
        started.append(deployment)
        # What the API and the workers are told of servers that run by now.
        deployment.overrides.update(prepare(deployment))
        deployment.start_api()
        for _ in range(workers):
            deployment.start_worker()
        return deployment

    yield start
    for deployment in started:
        deployment.close()


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    """A deployment with one worker."""
    return deploy()


@pytest.fixture
def watcher(deployment: Deployment) -> Iterator[Watcher]:
    """A client that polls the deployment's jobs all the time."""
    with Watcher(deployment) as watching:
        yield watching


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item) -> None:
    """Show what the processes logged, when a test fails."""
    for value in getattr(node, "funcargs", {}).values():
        if isinstance(value, Deployment):
            print("\n".join(value.lines[-80:]))
