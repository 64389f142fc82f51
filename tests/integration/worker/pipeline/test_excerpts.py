"""An excerpt has the samples of the whole song, from the file to the stem, for engines that use the song's level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.fixtures.sounds.audio import make_song, write_wav
from tests.fixtures.stand_ins.tiny_mdx import make_tiny_mdx_model
from worker.engines.interface import FloatArray
from worker.pipeline.run import separate_song
from worker.run_messages import Outcome, Work


def run(folder: Path, source: Path, **options: Any) -> tuple[Outcome, FloatArray]:
    """Separate with the tiny network; return the outcome and the vocals, shape (channels, n)."""
    models = folder.parent / "models"
    if not models.exists():
        make_tiny_mdx_model(models / "tiny")
    work = Work(
        str(source),
        str(folder / "out"),
        str(folder / "scratch"),
        source.name,
        "tiny-mdx",
        model_folder=str(models),
        format="wav",
        format_options={"bit_depth": 32},
        **options,
    )
    outcome = separate_song(work, lambda *_: None)
    y, _ = soundfile.read(folder / "out" / "vocals.wav", dtype="float32", always_2d=True)
    return outcome, np.ascontiguousarray(y.T)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_an_excerpt_has_the_samples_of_the_whole_song(tmp_path: Path, rate: int) -> None:
    song = make_song(24, sample_rate_hz=rate)
    # The loudest moment is far from the excerpt.
    song[:, -1000:] *= 4
    source = write_wav(tmp_path / "song.wav", song, rate)
    _, whole = run(tmp_path / "whole", source)
    outcome, part = run(tmp_path / "part", source, excerpt_start_seconds=9.123, excerpt_duration_seconds=1.5)
    start = round(9.123 * rate)
    assert np.array_equal(part, whole[:, start : start + part.shape[1]])
    assert part.shape[1] == round(1.5 * rate)
    excerpt = outcome.report["excerpt"]
    assert excerpt["start_seconds"] == pytest.approx(9.123)
    assert 0 < excerpt["context_seconds_before"] < 9
