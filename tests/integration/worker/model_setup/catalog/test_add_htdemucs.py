"""HT-Demucs by one command: from .th files or, where these cannot be had, from safetensors; one network or one a stem.

STAND-IN: tiny networks with random weights in the publisher's formats.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.fixtures.network.model_server import ModelServer
from tests.fixtures.stand_ins.tiny_htdemucs import SHORT, random_weights, write_safetensors, write_torch_file
from tests.integration.worker.model_setup.catalog.conftest import lines_of_failure
from worker.engines.registry import engines_here
from worker.model_setup.catalog.model_folders import WEIGHTS
from worker.model_setup.catalog.rebuild import rebuild_models

STEMS = ("drums", "bass", "other", "vocals")

WriteTable = Callable[[Mapping[str, list[str]]], Path]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return one network in both formats, and one for each stem."""
    folder = tmp_path_factory.mktemp("published")
    write_torch_file(folder / "one.th", SHORT, random_weights(SHORT))
    write_safetensors(folder / "one.safetensors", SHORT, random_weights(SHORT))
    for number, stem in enumerate(STEMS):
        write_torch_file(folder / f"{stem}.th", SHORT, random_weights(SHORT, number))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def table(server: ModelServer, published: dict[str, bytes], tmp_path: Path) -> WriteTable:
    """Return a function that writes a table with editions: for each a manner of the server, and its files."""
    server.files.update(published)

    def write(editions: Mapping[str, list[str]]) -> Path:
        lines = [
            "[[model]]",
            'name = "hybrid"',
            'family = "htdemucs"',
            *(f'{field} = "words"' for field in ("title", "author", "summary", "licence", "licence_source")),
            f"stems = {json.dumps(STEMS)}",
            "must_accept = false",
        ]
        for manner, names in editions.items():
            lines += ["[[model.editions]]"]
            for name in names:
                lines += [
                    "[[model.editions.files]]",
                    f'name = "{name}"',
                    f"size_bytes = {len(published[name])}",
                    f'sha256 = "{hashlib.sha256(published[name]).hexdigest()}"',
                    f'addresses = ["{server.url}/{manner}/{name}"]',
                ]
        path = tmp_path / "table.toml"
        path.write_text("\n".join(lines))
        return path

    return write


def test_the_second_format_is_taken_where_the_first_cannot_be_had(run, table, folder):
    written = table({"missing": ["one.th"], "good": ["one.safetensors"]})
    added = run(written, "add", "hybrid")
    assert added.exit_code == 0, added.output
    assert engines_here(model_folder=folder)["hybrid"].description.stems == ("vocals", "drums", "bass", "other")
    assert [path.name for path in (folder / WEIGHTS / "hybrid").iterdir()] == ["one.safetensors"]
    checked = run(written, "check", "hybrid")
    assert checked.exit_code == 0, checked.output
    judged = run(written, "check", "hybrid", "--sound")
    assert judged.exit_code == 1
    assert "drums: " in judged.stdout


def test_four_networks_by_hand_in_any_order(run, table, folder, published, tmp_path):
    written = table({"missing": [f"{stem}.th" for stem in STEMS]})
    for stem in STEMS:
        (tmp_path / f"{stem}.th").write_bytes(published[f"{stem}.th"])
    files = [word for stem in reversed(STEMS) for word in ("--file", tmp_path / f"{stem}.th")]
    added = run(written, "add", "hybrid", *files)
    assert added.exit_code == 0, added.output
    networks = sorted(path.name for path in (folder / "hybrid").glob("*.onnx"))
    assert networks == ["bass.onnx", "drums.onnx", "other.onnx", "vocals.onnx"]
    origin = json.loads((folder / "hybrid" / "manifest.json").read_text())["origin"]
    assert [name for name in origin if name.endswith(".th")] == [f"{stem}.th" for stem in STEMS]
    three = run(written, "add", "hybrid", *files[:6])
    assert three.exit_code == 1
    assert len(lines_of_failure(three)) == 1


@pytest.mark.parametrize("harm", ["three are gone", "two are swapped", "none"])
def test_four_networks_are_built_again_only_from_all_four_files(run, table, folder, harm):
    assert run(table({"good": [f"{stem}.th" for stem in STEMS]}), "add", "hybrid").exit_code == 0
    model, weights = folder / "hybrid", folder / WEIGHTS / "hybrid"
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["built_for"]["onnxruntime"] = "0.1"
    (model / "manifest.json").write_text(json.dumps(manifest))
    if harm == "three are gone":
        for stem in STEMS[1:]:
            (weights / f"{stem}.th").unlink()
    elif harm == "two are swapped":
        (weights / "bass.th").rename(weights / "kept")
        (weights / "drums.th").rename(weights / "bass.th")
        (weights / "kept").rename(weights / "drums.th")
    said: list[str] = []
    rebuild_models(folder, said.append)
    lost = {"three are gone": "bass.th, other.th, vocals.th", "two are swapped": "drums.th, bass.th"}.get(harm)
    assert len(said) == 1
    assert (f"({lost}): add it again." if lost else "built again for this machine") in said[0]
    assert ("hybrid" in engines_here(model_folder=folder)) == (harm == "none")
    assert len(list(model.glob("*.onnx"))) == 4
