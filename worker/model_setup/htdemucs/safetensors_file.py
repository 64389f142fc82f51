"""Reads a network's arguments and parameters from a safetensors file: eight bytes of length, JSON, then numbers.

Since version 4.1 the publisher stores the class and its arguments as JSON in the file's `__metadata__`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from worker.engines.interface import FloatArray
from worker.model_setup.errors import CheckpointError
from worker.model_setup.htdemucs.file_content import CLASS_NAME, LARGEST_FILE, NetworkFile, Shape

_LARGEST_HEADER = 1 << 20
_TYPES: Mapping[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


def read_safetensors(path: Path) -> NetworkFile:
    """Return what a safetensors file holds. Its numbers are read later. Raises CheckpointError and OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header, first = _header(file, size)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("klass") != ".".join(CLASS_NAME) or "structure" in metadata:
        raise CheckpointError("Its header does not say that it holds an HT-Demucs network.")
    args, kwargs = (_decoded(_parsed(str(metadata.get(name)))) for name in ("args", "kwargs"))
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise CheckpointError("Its header lacks the network's arguments.")
    tensors = {name: _Tensor.from_entry(name, entry) for name, entry in header.items()}
    _check_places(tensors, size - first)

    def read_all() -> dict[str, FloatArray]:
        with path.open("rb") as file:
            return {name: tensor.numbers(file, first) for name, tensor in tensors.items()}

    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return NetworkFile(tuple(args), kwargs, shapes, read_all)


class _Tensor:
    """Where an array lies in the file."""

    def __init__(self, kind: np.dtype[Any], shape: Shape, start: int, stop: int) -> None:
        self.kind, self.shape, self.start, self.stop = kind, shape, start, stop

    @classmethod
    def from_entry(cls, name: str, entry: Any) -> _Tensor:
        """Return the place that an entry of the header gives, after a check that the array fits it."""
        kind = _TYPES.get(str(entry.get("dtype"))) if isinstance(entry, dict) else None
        if kind is None:
            raise CheckpointError(f"Its parameter {name[:80]!r} is not of 16-bit or 32-bit floats.")
        shape, offsets = entry.get("shape"), entry.get("data_offsets")
        if not _are_sizes(shape, 4) or not _are_sizes(offsets, 2) or len(offsets) != 2:
            raise CheckpointError(f"Its parameter {name[:80]!r} has no valid shape or place.")
        if offsets[1] - offsets[0] != math.prod(shape) * kind.itemsize:
            raise CheckpointError(f"Its parameter {name[:80]!r} has another size than its shape says.")
        return cls(kind, tuple(shape), *offsets)

    def numbers(self, file: BinaryIO, first: int) -> FloatArray:
        """Read the array. `first` is where the numbers of all arrays begin in the file."""
        file.seek(first + self.start)
        content = file.read(self.stop - self.start)
        if len(content) != self.stop - self.start:
            raise CheckpointError("It became shorter while it was read.")
        return np.frombuffer(content, self.kind).astype(np.float32).reshape(self.shape)


def _are_sizes(values: object, most: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= most
        and all(
            isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_FILE for value in values
        )
    )


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header, and where the numbers begin."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
        raise CheckpointError("It is not a safetensors file, or it is cut off.")
    header = _parsed(file.read(length).decode("utf-8", "replace"))
    if not isinstance(header, dict):
        raise CheckpointError("It is not a safetensors file.")
    return header, 8 + length


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("Its header is not valid JSON.") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is there twice")
    return members


def _decoded(value: Any) -> Any:
    """Return the arguments with fractions in place of their JSON form. They stand at the top level only."""
    if not isinstance(value, dict):
        return value
    return {name: _fraction(member) for name, member in value.items()}


def _fraction(value: Any) -> Any:
    if not isinstance(value, dict) or value.get("_type") != "fraction":
        return value
    above, below = value.get("numerator"), value.get("denominator")
    if type(above) is not int or type(below) is not int or not below:
        raise CheckpointError("Its header holds a fraction that is not valid.")
    return Fraction(above, below)


def _check_places(tensors: Mapping[str, _Tensor], n_bytes: int) -> None:
    """Raise CheckpointError unless the arrays fill the rest of the file, one after another."""
    position = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.stop)):
        if tensor.start != position:
            raise CheckpointError("Its parameters overlap, or leave gaps between them.")
        position = tensor.stop
    if position != n_bytes:
        raise CheckpointError("Its parameters do not fill the file: it is cut off, or it holds something else.")
