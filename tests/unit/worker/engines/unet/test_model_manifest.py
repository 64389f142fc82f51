"""The manifest: how it is written and read, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest

from worker.engines.errors import EngineUnavailableError
from worker.engines.model_folder import MANIFEST_NAME, sha256_of, verify_files
from worker.engines.unet import create
from worker.engines.unet.model_manifest import read_manifest, write_manifest


@pytest.fixture
def folder(three_stem_folder, tmp_path):
    return shutil.copytree(three_stem_folder, tmp_path / "model")


def test_a_manifest_is_read_as_it_was_written(folder):
    manifest = read_manifest(folder)
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


def test_a_damaged_file_is_refused_before_it_is_loaded(folder, make_noise):
    with (folder / "middle.onnx").open("r+b") as file:
        file.seek(20)
        file.write(b"\xff")
    with pytest.raises(EngineUnavailableError, match="damaged"):
        next(create(None, {}, model_folder=folder).separate(make_noise(2, 100)))


def test_a_file_that_is_damaged_after_a_successful_check_is_refused(folder, make_noise):
    next(create(None, {}, model_folder=folder).separate(make_noise(2, 100)))
    before = (folder / "middle.onnx").stat()
    with (folder / "middle.onnx").open("r+b") as file:
        file.seek(20)
        file.write(b"\xff")
    os.utime(folder / "middle.onnx", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(EngineUnavailableError, match="damaged"):
        next(create(None, {}, model_folder=folder).separate(make_noise(2, 100)))


def test_a_process_reads_an_unchanged_file_only_once(folder, monkeypatch):
    manifest, read = read_manifest(folder), []
    monkeypatch.setattr("worker.engines.model_folder.sha256_of", lambda path: read.append(path) or sha256_of(path))
    verify_files(folder, manifest.files)
    verify_files(folder, manifest.files)
    assert sorted(path.name for path in read) == sorted(manifest.files)


def test_a_missing_file_is_refused(folder, make_noise):
    (folder / "high.onnx").unlink()
    with pytest.raises(EngineUnavailableError, match=r"high\.onnx"):
        next(create(None, {}, model_folder=folder).separate(make_noise(2, 100)))


def test_a_file_with_the_right_digest_that_is_not_a_network_is_refused(folder, make_noise):
    (folder / "low.onnx").write_bytes(b"no network")
    manifest = read_manifest(folder)
    files = {**manifest.files, "low.onnx": sha256_of(folder / "low.onnx")}
    write_manifest(folder, replace(manifest, files=files))
    with pytest.raises(EngineUnavailableError, match="cannot load"):
        next(create(None, {}, model_folder=folder).separate(make_noise(2, 100)))


def test_a_model_of_another_machine_is_refused(folder):
    write_manifest(folder, replace(read_manifest(folder), built_for={"processor": "another"}))
    with pytest.raises(EngineUnavailableError, match="another processor"):
        create(None, {}, model_folder=folder)


def test_a_model_for_an_unknown_runtime_is_refused(folder):
    write_manifest(folder, replace(read_manifest(folder), runtime="abacus"))
    with pytest.raises(EngineUnavailableError, match="abacus"):
        create(None, {}, model_folder=folder)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"hop_length": 100},
        {"bins": 1_000},
        {"delay_frames": 5},
        {"remainder": "drums"},
        {"stems": ["high"]},
        {"networks": ["low.onnx"]},
        {"networks": ["a", "b", "c"]},
        {"networks": None},
        {"n_fft": "many"},
    ],
)
def test_a_manifest_with_invalid_values_is_refused(folder, change):
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EngineUnavailableError):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', "\x00"])
def test_a_file_that_is_not_a_manifest_is_refused(folder, text):
    (folder / MANIFEST_NAME).write_text(text)
    with pytest.raises(EngineUnavailableError):
        read_manifest(folder)


def test_a_manifest_cannot_name_files_outside_its_folder(folder, make_noise):
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={**manifest.files, "../other": "0"}))
    with pytest.raises(EngineUnavailableError, match="outside"):
        next(create(None, {}, model_folder=folder).separate(make_noise(2, 100)))
