"""A model that was built for another machine is built again by set-up, from the files that are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, tiny_network
from tests.integration.worker.model_setup.catalog.conftest import FILE
from worker.engines.registry import engines_here
from worker.model_setup.catalog import rebuild
from worker.model_setup.catalog.model_folders import WEIGHTS
from worker.model_setup.catalog.rebuild import rebuild_models


@pytest.fixture(params=["known", "unknown"])
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a model that was added from the table, or from a file with its parameters."""
    return str(request.getfixturevalue(f"{request.param}_name"))


@pytest.fixture
def known_name(add, server) -> str:
    assert add(f"{server.url}/good/{FILE}").exit_code == 0
    return "tiny"


@pytest.fixture
def unknown_name(run, write_table, tmp_path, network) -> str:
    (tmp_path / "mine.onnx").write_bytes(network)
    (tmp_path / "p.json").write_text(json.dumps(PARAMETERS))
    options = ("--family", "mdx", "--name", "mine", "--parameters", tmp_path / "p.json", "--accept-licence")
    assert run(write_table("http://127.0.0.1:9/a"), "add", "--file", tmp_path / "mine.onnx", *options).exit_code == 0
    return "mine"


def test_it_is_built_again_as_it_was(folder: Path, name: str) -> None:
    before = engines_here(model_folder=folder)[name].description
    move_to_another_machine(folder / name)
    assert name not in engines_here(model_folder=folder)
    said: list[str] = []
    rebuild_models(folder, said.append)
    assert said == [f"{name} was built again for this machine."]
    after = engines_here(model_folder=folder)[name].description
    assert (after.version, after.stems, after.licence) == (before.version, before.stems, before.licence)
    rebuild_models(folder, said.append)
    assert len(said) == 1


def test_a_command_does_it_where_workers_cannot_build(run, write_table, folder: Path, known_name: str) -> None:
    move_to_another_machine(folder / known_name)
    told = run(write_table("http://127.0.0.1:9/a"), "rebuild")
    assert (told.exit_code, told.stdout) == (0, f"{known_name} was built again for this machine.\n")


def test_it_is_built_again_when_models_are_built_in_another_way(folder: Path, name: str, monkeypatch) -> None:
    before = engines_here(model_folder=folder)[name].description
    monkeypatch.setattr(rebuild, "BUILD", "2")
    said: list[str] = []
    rebuild_models(folder, said.append)
    after = engines_here(model_folder=folder)[name].description
    assert len(said) == 1
    assert after.version == f"2{before.version.removeprefix('1')}"


def test_without_its_files_it_is_left_alone(folder: Path, name: str) -> None:
    move_to_another_machine(folder / name)
    shutil.rmtree(folder / WEIGHTS)
    said: list[str] = []
    rebuild_models(folder, said.append)
    assert "add it again" in said[0]
    assert (folder / name / "manifest.json").exists()


def test_with_other_files_of_the_same_name_it_is_left_alone(folder: Path, name: str) -> None:
    move_to_another_machine(folder / name)
    before = (folder / name / "manifest.json").read_bytes()
    (file,) = (folder / WEIGHTS / name).iterdir()
    file.write_bytes(tiny_network(seed=1).SerializeToString())
    said: list[str] = []
    rebuild_models(folder, said.append)
    (sentence,) = said
    assert f"gone or changed ({file.name}): add it again." in sentence
    assert (folder / name / "manifest.json").read_bytes() == before


def move_to_another_machine(model: Path) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["built_for"]["onnxruntime"] = "0.1"
    (model / "manifest.json").write_text(json.dumps(manifest))


def test_a_wish_for_bfloat16_builds_it_again_and_says_where_that_is_not_possible(
    folder: Path, name: str, monkeypatch
) -> None:
    monkeypatch.setattr("worker.model_setup.segment_forms.openvino_has_fast_bfloat16", lambda: False)
    before = (folder / name / "manifest.json").read_bytes()
    said: list[str] = []
    rebuild_models(folder, said.append, "auto")
    assert said == []
    rebuild_models(folder, said.append, "bfloat16")
    (sentence,) = said
    assert f"{name} cannot be built in bfloat16 here" in sentence
    assert (folder / name / "manifest.json").read_bytes() == before
