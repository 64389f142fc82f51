"""The engine around any segment network: manifest, parameters, remainder, files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.fixtures.stand_ins.four_quarters import STEMS, Quarters, make_quarters_model, quarters_engine
from tests.fixtures.stand_ins.tiny_mdx import make_tiny_mdx_model
from tests.unit.worker.engines.segments.conftest import noise, separated
from worker.engines import mdx
from worker.engines.errors import EngineUnavailableError, InvalidParameterError
from worker.engines.model_folder import MANIFEST_NAME, sha256_of
from worker.engines.registry import engines_here
from worker.engines.segments.manifest import read_segment_manifest, write_segment_manifest


@pytest.fixture
def folder(tmp_path):
    return make_tiny_mdx_model(tmp_path / "tiny-mdx")


def test_a_manifest_is_read_as_it_was_written(folder):
    manifest = read_segment_manifest(folder)
    write_segment_manifest(folder, manifest)
    assert read_segment_manifest(folder) == manifest


def test_the_registry_chooses_the_engine_by_the_family_of_its_folder(tmp_path, folder, capsys):
    shutil.copytree(folder, tmp_path / "unknown")
    path = tmp_path / "unknown" / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"family": "crystal-ball"}))
    engines = engines_here(model_folder=tmp_path)
    assert set(engines) == {"repetition", "tiny-mdx"}
    assert engines["tiny-mdx"].description.stems == ("vocals", "accompaniment")
    assert engines["tiny-mdx"].make(None, {}).stems == ("vocals", "accompaniment")
    assert "unknown family 'crystal-ball'" in capsys.readouterr().err


def test_a_mask_model_is_not_taken_for_a_segment_model_or_the_other_way_round(folder):
    from worker.engines.unet import describe

    with pytest.raises(EngineUnavailableError, match="masks a spectrogram"):
        describe(folder)
    with pytest.raises(EngineUnavailableError, match="of the family mdx"):
        quarters_engine(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"stems": []},
        {"stems": ["vocals", "vocals"]},
        {"stems": ["accompaniment"]},
        {"stems": None},
        {"remainder": "drums"},
        {"remainder": None},
        {"networks": []},
        {"networks": ["other.onnx"]},
        {"channels": 0},
        {"channels": 3},
        {"channels": "two"},
        {"sample_rate_hz": 10},
        {"settings": None},
        {"settings": {}},
        {"settings": {"n_fft": 256, "hop_length": 64, "dim_f": 96, "dim_t": 4, "compensate": 1.0}},
        {"settings": {"n_fft": 256, "hop_length": 64, "dim_f": 400, "dim_t": 33, "compensate": 1.0}},
        {"settings": {"n_fft": 256, "hop_length": 64, "dim_f": 96, "dim_t": 33, "compensate": float("nan")}},
        {"settings": {"n_fft": 256, "hop_length": 64, "dim_f": True, "dim_t": 33, "compensate": 1.0}},
        {"format": 99},
        {"family": "mask"},
        {"family": 7},
    ],
)
def test_a_manifest_with_invalid_values_is_refused(folder, change):
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EngineUnavailableError):
        mdx.describe(folder)
    assert "tiny-mdx" not in engines_here(model_folder=folder.parent)


def test_a_model_of_another_machine_is_refused(tmp_path):
    folder = make_tiny_mdx_model(tmp_path / "model", built_for={"processor": "another"})
    with pytest.raises(EngineUnavailableError, match="another processor"):
        mdx.describe(folder)


def test_a_damaged_or_missing_file_is_refused_before_it_is_loaded(folder):
    network = folder / "network.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"\xff")
    engine = mdx.create(None, {}, model_folder=folder)
    with pytest.raises(EngineUnavailableError, match="damaged"):
        separated(engine, noise(2, 100))
    network.unlink()
    with pytest.raises(EngineUnavailableError, match="lacks"):
        separated(engine, noise(2, 100))


def test_a_file_with_the_right_digest_that_is_not_a_network_is_refused(tmp_path):
    folder = make_tiny_mdx_model(tmp_path / "model")
    (folder / "network.onnx").write_bytes(b"no network")
    path = folder / MANIFEST_NAME
    digest = sha256_of(folder / "network.onnx")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": {"network.onnx": digest}}))
    with pytest.raises(EngineUnavailableError, match="cannot load"):
        separated(mdx.create(None, {}, model_folder=folder), noise(2, 100))


def test_unknown_presets_and_parameters_are_refused(folder, tmp_path):
    with pytest.raises(InvalidParameterError, match="loud"):
        mdx.create("loud", {}, model_folder=folder)
    with pytest.raises(InvalidParameterError, match="remainder"):
        mdx.create(None, {"remainder": "other"}, model_folder=folder)
    quarters = make_quarters_model(tmp_path / "quarters")
    with pytest.raises(InvalidParameterError, match="remainder must be"):
        quarters_engine(quarters, remainder="all")


def test_the_remainder_parameter_makes_other_the_rest_so_that_the_stems_sum_to_the_song(tmp_path):
    folder = make_quarters_model(tmp_path / "model")
    y = noise(2, 9_000)
    plain, filled = (separated(quarters_engine(folder, remainder=value), y) for value in ("none", "other"))
    other = STEMS.index("other")
    kept = [number for number in range(4) if number != other]
    assert np.array_equal(plain[kept], filled[kept])
    assert np.array_equal(filled[other], y - filled[0] - filled[1] - filled[3])
    assert not np.allclose(plain.sum(axis=0), y, atol=1e-3)


def test_networks_stay_loaded_for_the_next_track_on_as_many_threads(tmp_path):
    family = Quarters()
    engine = quarters_engine(make_quarters_model(tmp_path / "model"), family)
    for threads in (1, 1, 2):
        separated(engine, noise(2, 100), threads=threads)
    assert family.loaded == 2


def test_an_error_in_progress_ends_the_network_and_passes_on(folder):
    engine = mdx.create(None, {}, model_folder=folder)

    def stop(_fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separated(engine, noise(2, 5_000), progress=stop)
    assert separated(engine, noise(2, 5_000)).any()
