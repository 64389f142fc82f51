"""A worker survives a scratch folder that disappears and a child that cannot be started."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.counters import Counters
from shared.redis_client.connection import connect
from shared.settings import Settings
from worker.child.pool import ChildPool
from worker.service.scratch_folder import ScratchFolder
from worker.service.worker_service import WorkerService

PATIENCE_SECONDS = 60


@pytest.fixture(name="service")
def _service(settings: Settings) -> Iterator[WorkerService]:
    often = {"worker_alive_seconds": 2.0, "rescue_seconds": 0.1, "lease_seconds": 0.1}
    service = WorkerService(settings.model_copy(update=often), [])
    yield service
    service.close()


def test_a_worker_whose_scratch_folder_is_gone_goes_on_telling_that_it_lives(service: WorkerService) -> None:
    service.scratch.path.rename(service.settings.scratch_folder.with_name("elsewhere"))
    service.settings.scratch_folder.rmdir()
    with pytest.raises(FileNotFoundError):
        service.scratch.sweep()
    service.start()
    for _ in range(2):
        until = time.monotonic() + PATIENCE_SECONDS
        while service.worker.id not in {worker.id for worker in service.workers.live_workers()}:
            assert time.monotonic() < until, "it tells nothing any more"
            time.sleep(0.05)
        service.workers.remove(service.worker.id)


def use_up(children: ChildPool, monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    with children.lend("interactive", check=lambda: None) as child:
        child.jobs_done += 1
        monkeypatch.setattr(sys, "executable", python)


def test_a_slot_is_not_lost_with_a_child_that_could_not_be_replaced(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = Counters(connect(settings), settings.redis_prefix)
    children = ChildPool(settings.model_copy(update={"child_jobs": 1}), tmp_path, counters)
    try:
        with pytest.raises(OSError, match="nothing-here"):
            use_up(children, monkeypatch, str(tmp_path / "nothing-here"))
        monkeypatch.undo()
        looks = iter(range(100))
        with children.lend("interactive", check=lambda: next(looks)) as child:
            assert child.alive
    finally:
        children.close()


def test_a_scratch_folder_that_was_cleared_away_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ScratchFolder(tmp_path, "other", "ours")
    lock, cleared = ScratchFolder._lock_file, list[str]()

    def cleared_before(path: Path) -> int:
        # As another worker that looks for dead ones would, at the worst moment.
        descriptor = lock(path)
        if not cleared:
            cleared.extend(other.sweep())
        return descriptor

    monkeypatch.setattr(ScratchFolder, "_lock_file", staticmethod(cleared_before))
    mine = ScratchFolder(tmp_path, "mine", "ours")
    assert cleared == ["mine"]
    assert mine.path.is_dir()
    assert other.sweep() == []
    mine.close()
    other.close()
