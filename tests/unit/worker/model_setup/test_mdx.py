"""The model folder that is built from an MDX-Net file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, make_tiny_mdx_model, tiny_network
from tests.unit.worker.engines.segments.conftest import noise, separated
from worker.engines import mdx
from worker.engines.registry import engines_here
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.mdx.building import build_mdx
from worker.model_setup.model_entry import ModelEntry

ENTRY = ModelEntry(
    "tiny", "Tiny", "For tests.", "Theirs.", scores={"vocals_sdr_db": 8.5}, scores_from="Multisong", origin={"md5": "0"}
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "UVR.onnx"
    onnx.save(tiny_network(), str(path))
    return path


def build(network: Path, **changes: object) -> Path:
    folder = network.parent / "tiny"
    folder.mkdir()
    build_mdx(network, {**PARAMETERS, **changes}, ENTRY, folder)
    return folder


def test_the_folder_is_an_engine_that_separates_as_the_file_does(network, tmp_path):
    folder = build(network)
    engines = engines_here(model_folder=tmp_path)
    description = engines["tiny"].description
    assert (description.title, description.licence) == ("Tiny", "Theirs.")
    assert description.presets[0].scores == {"vocals_sdr_db": 8.5}
    assert description.real_time_factor is not None
    y = noise(2, 9_000)
    plain = mdx.create(None, {}, model_folder=make_tiny_mdx_model(tmp_path / "plain" / "model"))
    found, expected = separated(engines["tiny"].make(None, {}), y), separated(plain, y)
    assert np.abs(found - expected).max() < 1e-5
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "network.onnx", "network.weights"}


@pytest.mark.parametrize(
    ("stem", "stems", "remainder"),
    [
        ("vocals", ("vocals", "accompaniment"), "accompaniment"),
        ("instrumental", ("vocals", "accompaniment"), "vocals"),
        ("accompaniment", ("vocals", "accompaniment"), "vocals"),
        ("drums", ("drums", "other"), "other"),
        ("other", ("other", "rest"), "rest"),
    ],
)
def test_the_other_stem_is_the_remainder(network, stem, stems, remainder):
    folder = build(network, stem=stem)
    description = mdx.describe(folder)
    assert description.stems == stems
    assert mdx.create(None, {}, model_folder=folder)._manifest.remainder == remainder


@pytest.mark.parametrize(
    "stem", [None, "", "../up", "Vocals", "two words", "x" * 50, 7, "mixture", "rest", "voz_más", "_", "1st"]
)
def test_an_impossible_stem_is_refused(network, stem):
    with pytest.raises(ModelSetupError, match="stem must be a name"):
        build(network, stem=stem)
    assert list((network.parent / "tiny").iterdir()) == []


@pytest.mark.parametrize("compensate", [10**400, -(10**400), float("nan"), float("inf"), 0])
def test_an_impossible_factor_is_refused(network, compensate):
    with pytest.raises(ModelSetupError, match="compensate must be above 0"):
        build(network, compensate=compensate)


def test_impossible_parameters_are_refused_with_the_reason(network):
    with pytest.raises(ModelSetupError, match=r"^The parameters of tiny are refused: n_fft must be an even number"):
        build(network, n_fft=255)
