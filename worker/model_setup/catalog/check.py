"""Checks a model: its files, whether it runs, and whether it separates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worker.engines.errors import EngineError
from worker.engines.interface import ACCOMPANIMENT, VOCALS, FloatArray, SeparationEngine
from worker.engines.model_folder import read_document, verify_files
from worker.engines.registry import engine_in_folder
from worker.model_setup.catalog.excerpt import SAMPLE_RATE_HZ, Excerpt, make_excerpt
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.model_entry import OTHER, REST

RUN_SECONDS = 2
"""How much is separated to see whether a model runs; a segment takes the same time however much of it is wanted."""

LOWEST_GAIN_DB = 2.0
"""How much better than the mixture each scored stem must be. Random weights make it worse: they give noise, and the
remainder contains that noise too. `unet` with Spleeter's weights reaches several times this."""

SILENT = 1e-10


@dataclass(frozen=True)
class SoundCheck:
    """SDR in dB of each stem of the excerpt that is known, and of the mixture in its place.

    `has_passed` is None if the model has no stem that the excerpt knows.
    """

    sdr_db: Mapping[str, float]
    mixture_sdr_db: Mapping[str, float]

    @property
    def has_passed(self) -> bool | None:
        """Whether each stem is clearly better than the mixture."""
        gains = [self.sdr_db[stem] - self.mixture_sdr_db[stem] for stem in self.sdr_db]
        return all(gain >= LOWEST_GAIN_DB for gain in gains) if gains else None


def check_files_and_run(folder: Path, name: str) -> None:
    """Raise ModelSetupError unless a model's files have their digests, and its networks run and give finite sound."""
    try:
        verify_files(folder / name, dict(read_document(folder / name).get("files", {})))
        engine = engine_in_folder(folder / name)
        stems = _separate(engine, make_excerpt(), RUN_SECONDS * SAMPLE_RATE_HZ)
    except EngineError as error:
        raise ModelSetupError(error.message) from error
    if not np.isfinite(stems).all():
        raise ModelSetupError(f"{name} runs, but its output contains samples that are not finite.")


def check_sound(folder: Path, name: str) -> SoundCheck:
    """Separate the whole excerpt and return the scores. Raises ModelSetupError if the model does not run."""
    excerpt = make_excerpt()
    try:
        engine = engine_in_folder(folder / name)
        stems = _separate(engine, excerpt, excerpt.n_samples)
    except EngineError as error:
        raise ModelSetupError(error.message) from error
    return judge(excerpt, dict(zip(engine.stems, stems, strict=True)))


def judge(excerpt: Excerpt, found: Mapping[str, FloatArray]) -> SoundCheck:
    """Return the scores of the stems that an engine makes of an excerpt, each of shape (2, n_samples)."""
    truth = _truth(excerpt, tuple(found))
    return SoundCheck(
        {stem: sdr_db(truth[stem], found[stem]) for stem in truth},
        {stem: sdr_db(truth[stem], excerpt.mixture) for stem in truth},
    )


def sdr_db(truth: FloatArray, found: FloatArray) -> float:
    """Return the energy of a stem over that of the difference, in dB."""
    signal, error = np.square(truth, dtype=np.float64).sum(), np.square(truth - found, dtype=np.float64).sum()
    return float(10 * np.log10((signal + SILENT) / (error + SILENT)))


def _separate(engine: SeparationEngine, excerpt: Excerpt, stop: int) -> FloatArray:
    blocks = engine.separate(excerpt, stop=stop, threads=max(1, len(os.sched_getaffinity(0))))
    return np.concatenate([block.copy() for block in blocks], axis=2)


def _truth(excerpt: Excerpt, stems: tuple[str, ...]) -> dict[str, FloatArray]:
    """Return the true stems of those that an engine gives.

    `other` is what the engine's other stems leave of the mixture, so it depends on which these are. Beside a network
    for `other`, `rest` is. Guitars and pianos are not in the excerpt, and a network may take the chords for either:
    such stems are not scored, and neither is what is left beside them.
    """
    remainder = REST if REST in stems else OTHER
    known = {**excerpt.stems, ACCOMPANIMENT: excerpt.mixture - excerpt.stems[VOCALS]}
    truth = {stem: known[stem] for stem in stems if stem in known and stem != remainder}
    if remainder in stems and len(truth) == len(stems) - 1:
        truth[remainder] = excerpt.mixture - sum(truth.values(), np.zeros_like(excerpt.mixture))
    return truth
