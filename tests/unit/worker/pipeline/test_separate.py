"""Which threads may work between two blocks of an engine, and which stems are made from those of an engine."""

from __future__ import annotations

import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import RequestInvalidError
from tests.fixtures.sounds.audio import make_song
from tests.fixtures.stand_ins.engines import Share, registry_of
from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.excerpt import Track
from worker.engines.interface import EngineDescription, FloatArray, WorksAhead, derived_stems
from worker.engines.unet import MaskEngine
from worker.measurements.measure import TrackMeters
from worker.pipeline.plan import make_plan
from worker.pipeline.separate import pool_between_blocks, separate_and_measure, wanted_blocks
from worker.run_messages import Work
from worker.run_support.task_pool import TaskPool


class WorkingAhead(Share):
    """Its own threads keep working between two blocks."""

    works_ahead = True


def threads_at_work(engine: Share, pool: TaskPool, *, patience_seconds: float) -> set[str]:
    together = threading.Barrier(2)

    def task() -> str:
        # Two threads, if there are two, take one task each.
        try:
            together.wait(patience_seconds)
        except threading.BrokenBarrierError:
            together.reset()
        return threading.current_thread().name

    return set(pool_between_blocks(engine, pool).run_tasks([task, task]))


def test_between_the_blocks_of_an_idle_engine_all_threads_measure() -> None:
    with TaskPool(2) as pool:
        assert len(threads_at_work(Share(), pool, patience_seconds=30)) == 2


def test_beside_an_engine_that_works_ahead_only_the_callers_thread_measures() -> None:
    with TaskPool(2) as pool:
        assert threads_at_work(WorkingAhead(), pool, patience_seconds=0.2) == {threading.current_thread().name}


def test_the_networks_say_that_they_work_ahead() -> None:
    assert isinstance(MaskEngine.__new__(MaskEngine), WorksAhead)


class FourStems(Share):
    """Four stems that leave a tenth of the mixture."""

    names = ("drums", "vocals", "bass", "other")

    @property
    def stems(self) -> tuple[str, ...]:
        return self.names

    def separate(self, source: Any, **options: Any) -> Any:
        for block in super().separate(source, **options):
            yield np.stack([block.sum(axis=0) * gain for gain in (0.4, 0.3, 0.15, 0.05)])


def meters_of(engine: Share, wanted: list[int], tmp_path: Path) -> tuple[TrackMeters, FloatArray, FloatArray]:
    """Return the measurements, the mixture and what was passed on."""
    song = make_song(2)
    n = song.shape[1]
    path = tmp_path / "mixture"
    path.write_bytes(np.ascontiguousarray(song.T).tobytes())
    track = Track(DecodedAudio(path, 44_100, 2, n, 0), 0, n)
    blocks: list[FloatArray] = []
    meters = separate_and_measure(
        engine, track, wanted=wanted, threads=1, pool=TaskPool(1), progress=lambda _: None, consume=blocks.append
    )
    again = np.concatenate(list(wanted_blocks(engine, track, wanted=wanted, threads=1)), axis=2)
    passed = np.concatenate(blocks, axis=2)
    assert np.array_equal(again, passed)
    return meters, song, passed


def test_the_accompaniment_of_four_stems_is_the_song_less_the_vocals(tmp_path: Path) -> None:
    assert FourStems().description.derived_stems == ()
    assert derived_stems(FourStems.names) == ("accompaniment",)
    meters, song, (vocals, accompaniment) = meters_of(FourStems(), [1, 4], tmp_path)
    assert np.array_equal(accompaniment, song - vocals)
    assert meters.stems[4].peak == np.abs(accompaniment).max()


@pytest.mark.parametrize("wanted", [[0, 1, 2, 3], [0, 1, 2, 3, 4], [4]])
def test_a_derived_stem_does_not_count_for_the_residual(tmp_path: Path, wanted: list[int]) -> None:
    meters, _, passed = meters_of(FourStems(), wanted, tmp_path)
    assert len(passed) == len(wanted)
    assert meters.residual.relative_db() == pytest.approx(-20, abs=0.1)


def test_only_engines_with_vocals_and_without_accompaniment_have_a_derived_one() -> None:
    assert derived_stems(("vocals", "accompaniment")) == ()
    assert derived_stems(("drums", "other")) == ()
    described = EngineDescription("x", "1", "", "", ("vocals", "drums"), (), "standard")
    assert asdict(described)["derived_stems"] == ("accompaniment",)


def test_a_plan_offers_derived_stems_and_makes_them_only_on_demand() -> None:
    registry = registry_of(FourStems())
    work = Work("none", "out", "scratch", "x", "share")
    assert list(make_plan(work, registry).wanted.values()) == list(FourStems.names)
    wanted = make_plan(replace(work, stems=("vocals", "accompaniment")), registry).wanted
    assert dict(wanted) == {1: "vocals", 4: "accompaniment"}
    with pytest.raises(RequestInvalidError, match="accompaniment"):
        make_plan(replace(work, stems=("piano",)), registry)
