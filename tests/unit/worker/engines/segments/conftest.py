"""An engine of each family of segment networks, with a tiny model, and how tests let it separate an array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.stand_ins.four_quarters import make_quarters_model, quarters_engine
from tests.fixtures.stand_ins.tiny_bfloat16 import copy_bfloat16_htdemucs, make_bfloat16_mdx
from tests.fixtures.stand_ins.tiny_htdemucs import copy_tiny_htdemucs_model
from tests.fixtures.stand_ins.tiny_mdx import make_tiny_mdx_model
from tests.unit.worker.engines.array_source import ArraySource
from worker.engines import htdemucs, mdx
from worker.engines.interface import FloatArray, SeparationEngine

ENGINES: dict[str, Callable[[Path], SeparationEngine]] = {
    "htdemucs": lambda folder: htdemucs.create(None, {}, model_folder=copy_tiny_htdemucs_model(folder)),
    "mdx": lambda folder: mdx.create(None, {}, model_folder=make_tiny_mdx_model(folder)),
    "htdemucs in bfloat16": lambda folder: htdemucs.create(None, {}, model_folder=copy_bfloat16_htdemucs(folder)),
    "mdx in bfloat16": lambda folder: mdx.create(None, {}, model_folder=make_bfloat16_mdx(folder)),
    "quarters": lambda folder: quarters_engine(make_quarters_model(folder)),
}
"""How to make an engine of each family in a new folder. A new family adds a line and gets all properties tested."""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> SeparationEngine:
    return ENGINES[request.param](tmp_path / "model")


def separated(engine: SeparationEngine, y: FloatArray, rate: int = 44_100, **options: Any) -> FloatArray:
    """Return all stems, shape (stems, channels, n)."""
    blocks = list(engine.separate(ArraySource(y, rate), **options))
    return np.concatenate([np.zeros((len(engine.stems), len(y), 0), np.float32), *blocks], axis=2)


def noise(channels: int, n_samples: int) -> FloatArray:
    rng = np.random.default_rng(n_samples)
    return (0.2 * rng.standard_normal((channels, n_samples)) + 0.01).astype(np.float32)
