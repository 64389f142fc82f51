"""Reads a checkpoint without torch: a zip archive with a pickle of named numpy arrays.

A pickle can run any code. So only four names are allowed, and each is replaced by a function that does no more than
these files need. The caller checks the digest of the file before.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from worker.engines.interface import FloatArray
from worker.model_setup.errors import CheckpointError


def read_checkpoint(path: Path) -> dict[str, FloatArray]:
    """Return the named arrays of a checkpoint. Raises CheckpointError for any other content."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            weights = _CheckpointUnpickler(io.BytesIO(archive.read(name))).load()
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(f"{path.name} is not a checkpoint of float32 arrays: {error}") from error
    if not isinstance(weights, dict) or not all(_is_named_array(item) for item in weights.items()):
        raise CheckpointError(f"{path.name} holds something other than named float32 arrays.")
    return weights


class _CheckpointUnpickler(pickle.Unpickler):
    """Unpickles dictionaries, strings, numbers and float32 arrays only."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def _encode(text: str, encoding: str) -> bytes:
    """Replace `_codecs.encode`, by which pickles of Python 2 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


def _float32(code: str, *_flags: bool) -> np.dtype[np.float32]:
    """Replace `numpy.dtype`. Allows no objects and no structures."""
    if code != "f4":
        raise pickle.UnpicklingError(f"it asks for the type {code!r}")
    return np.dtype(np.float32).newbyteorder("<")


def _empty_array(kind: object, _shape: object, _code: object) -> FloatArray:
    """Replace `_reconstruct`. The shape and the numbers follow in the pickled state."""
    if kind is not _ARRAY:
        raise pickle.UnpicklingError("it asks for a subclass of ndarray")
    return np.zeros(0, np.float32)


_ARRAY = "ndarray"  # Only ever passed to _empty_array. A string, so it cannot be called.

_ALLOWED: dict[tuple[str, str], Callable[..., Any] | str] = {
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _float32,
    ("numpy", "ndarray"): _ARRAY,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
}


def _is_named_array(item: tuple[object, object]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, np.ndarray) and value.dtype == np.float32
