"""Checkpoints: what is read, and that no code in them is run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from worker.model_setup.errors import CheckpointError
from worker.model_setup.unet.checkpoint import read_checkpoint


def write(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("checkpoint/data.pkl", pickled)
        archive.writestr("checkpoint/version", "3\n")
    return path


def with_old_names(value: object) -> bytes:
    """Pickle as numpy 1 did, whose names checkpoints carry."""
    return pickle.dumps(value, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


class RunsACommand:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_named_arrays_are_read_as_they_were_written(tmp_path):
    weights = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, np.float32)}
    found = read_checkpoint(write(tmp_path / "c.ckpt", with_old_names(weights)))
    assert list(found) == ["a", "b"]
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path):
    marker = tmp_path / "was-here"
    path = write(tmp_path / "c.ckpt", pickle.dumps({"a": RunsACommand(marker)}))
    with pytest.raises(CheckpointError, match="system"):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(b"cbuiltins\neval\n(S'1'\ntR.", id="eval"),
        pytest.param(b"cnumpy\nload\n(S'/etc/passwd'\ntR.", id="another function of numpy"),
        pytest.param(b"c_codecs\ndecode\n(S'a'\nS'zip'\ntR.", id="another function of codecs"),
        pytest.param(b"c_codecs\nencode\n(S'a'\nS'bz2'\ntR.", id="another encoding"),
        pytest.param(b"cnumpy\nndarray\n((I1000000000\nttR.", id="an array without end"),
        pytest.param(b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR.", id="objects"),
        pytest.param(pickle.dumps(["a"]), id="a list"),
        pytest.param(pickle.dumps({"a": 1.0}), id="a number"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x02}q\x00(", id="half a pickle"),
    ],
)
def test_anything_but_a_dictionary_of_arrays_is_refused(tmp_path, pickled):
    with pytest.raises(CheckpointError, match=r"c\.ckpt"):
        read_checkpoint(write(tmp_path / "c.ckpt", pickled))


def test_arrays_of_other_types_are_refused(tmp_path):
    with pytest.raises(CheckpointError):
        read_checkpoint(write(tmp_path / "c.ckpt", with_old_names({"a": np.zeros(3)})))


def test_a_file_that_is_not_an_archive_is_refused(tmp_path):
    path = tmp_path / "c.ckpt"
    path.write_bytes(b"no archive")
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
