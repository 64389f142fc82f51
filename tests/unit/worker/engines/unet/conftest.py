"""Sources and models for the tests of mask networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fixtures.stand_ins.three_stems import make_three_stem_model
from worker.engines.machine import BFLOAT16_INSTRUCTIONS, has_instructions
from worker.engines.unet import MaskEngine, create
from worker.model_setup.errors import WeightsMissingError
from worker.model_setup.unet.setup import set_up

NO_INSTRUCTIONS = "this processor has no instructions for bfloat16 (AVX512_BF16)"


@dataclass
class ArraySource:
    """A mixture in memory."""

    y: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def channels(self) -> int:
        return self.y.shape[0]

    @property
    def n_samples(self) -> int:
        return self.y.shape[1]

    def read_samples(self, start: int, stop: int) -> NDArray[np.float32]:
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"no samples {start} to {stop}")
        return self.y[:, start:stop].copy()

    def separated(self, engine: MaskEngine, **options: int) -> NDArray[np.float32]:
        blocks = list(engine.separate(self, **options))  # type: ignore[arg-type]
        return np.concatenate([np.zeros((len(engine.stems), self.channels, 0), np.float32), *blocks], axis=2)


def noise(channels: int, n_samples: int, sample_rate_hz: int = 44_100) -> ArraySource:
    y = 0.1 * np.random.default_rng(n_samples).standard_normal((channels, n_samples))
    return ArraySource(y.astype(np.float32), sample_rate_hz)


@pytest.fixture(scope="session")
def make_noise():
    return noise


@pytest.fixture(scope="session")
def array_source():
    return ArraySource


@pytest.fixture(scope="session")
def three_stem_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_three_stem_model(tmp_path_factory.mktemp("models") / "thirds")


@pytest.fixture
def three_stems(three_stem_folder: Path) -> MaskEngine:
    return create(None, {}, model_folder=three_stem_folder)


@pytest.fixture(scope="session")
def unet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the real model in float32, built from the installed weights."""
    return built(tmp_path_factory.mktemp("cache"), "float32")


@pytest.fixture(scope="session")
def bfloat16_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the real model in bfloat16, where the processor has instructions for it."""
    if not has_instructions(BFLOAT16_INSTRUCTIONS):
        pytest.skip(NO_INSTRUCTIONS)
    return built(tmp_path_factory.mktemp("cache"), "bfloat16")


def built(cache: Path, precision: str) -> Path:
    try:
        return set_up(cache, precision)[0]
    except WeightsMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["unet_folder", "bfloat16_folder"], ids=["float32", "bfloat16"])
def unet(request: pytest.FixtureRequest) -> MaskEngine:
    return create(None, {}, model_folder=request.getfixturevalue(request.param))
