"""Engines that return invalid blocks, refuse the song or are not available: the run fails and leaves no files."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import SeparationFailedError
from tests.fixtures.sounds.audio import make_song, write_wav
from tests.fixtures.stand_ins.engines import Share, registry_of
from worker.engines.errors import EngineUnavailableError, TrackTooLongError
from worker.pipeline.run import separate_song
from worker.run_messages import Limits, Work


def work_on(folder: Path, source: Path, **options: Any) -> Work:
    return Work(str(source), str(folder / "out"), str(folder / "scratch"), source.name, "share", **options)


class Broken(Share):
    """Returns blocks that no engine may return."""

    how = ""

    def separate(self, source: Any, **options: Any) -> Any:
        for number, block in enumerate(super().separate(source, **options)):
            if self.how == "infinite" and number == 1:
                block[0, 0, 5] = np.inf
            if self.how == "short" and number == 2:
                return
            yield block[:1] if self.how == "narrow" else block


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("how", ["infinite", "short", "narrow"])
def test_an_engine_that_returns_invalid_blocks_fails_the_run_and_leaves_no_files(
    tmp_path: Path, how: str, threads: int
) -> None:
    engine = Broken()
    engine.how = how
    source = write_wav(tmp_path / "song.wav", make_song(3))
    work = work_on(tmp_path, source, limits=Limits(threads=threads))
    with pytest.raises(SeparationFailedError):
        separate_song(work, lambda *_: None, registry=registry_of(engine))
    assert not (tmp_path / "scratch").exists()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("task-pool")] == []
    assert not list((tmp_path / "out").glob("vocals*"))


class Short(Share):
    """Accepts at most one second."""

    def check_track(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        if n_samples > sample_rate_hz:
            raise TrackTooLongError("at most 1 s")


def test_a_song_too_long_for_the_engine_is_refused_before_decoding(tmp_path: Path) -> None:
    stages: list[str] = []
    source = write_wav(tmp_path / "song.wav", make_song(3))
    with pytest.raises(TrackTooLongError):
        separate_song(work_on(tmp_path, source), lambda stage, _: stages.append(stage), registry=registry_of(Short()))
    assert set(stages) == {"probe"}


def test_an_unavailable_engine_is_refused_with_a_list_of_available_ones(tmp_path: Path) -> None:
    work = Work("none", str(tmp_path / "o"), str(tmp_path / "s"), "x", "magic")
    with pytest.raises(EngineUnavailableError, match="there are: share"):
        separate_song(work, lambda *_: None, registry=registry_of(Share()))
