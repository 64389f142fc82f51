"""One deployment for all tests of `stemqueue catalog`: it is the client that is hurt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.catalog_command import Command
from tests.fault.support.deployment import Deployment
from tests.fixtures.servers import SONGS


@pytest.fixture(scope="session", name="catalog_deployment")
def _catalog_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(
        tmp_path_factory.mktemp("catalog") / "deployment",
        WORKER_SLOTS="4",
        S3_SOURCE_BUCKETS=SONGS,
        EXPORT_BUCKETS=SONGS,
        DEFAULT_ENGINE="slow",
    )
    try:
        deployment.start_api()
        deployment.start_worker()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def command(catalog_deployment: Deployment, tmp_path: Path) -> Command:
    return Command(catalog_deployment, tmp_path)
