"""Reads a published file of HT-Demucs, in either format, into arguments and float32 arrays.

Nothing of the file is imported or executed. Its arguments decide which parameters it must hold; only when the names
and shapes of all agree are numbers read, one parameter after another.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worker.engines.interface import FloatArray
from worker.model_setup.errors import CheckpointError
from worker.model_setup.htdemucs.arguments import HTDemucsArguments, read_arguments
from worker.model_setup.htdemucs.file_content import LARGEST_FILE, Shape
from worker.model_setup.htdemucs.parameters import expected_shapes
from worker.model_setup.htdemucs.safetensors_file import read_safetensors
from worker.model_setup.htdemucs.torch_file import read_torch_file

LARGEST_WEIGHT = 1e6
"""Published weights stay below 100. Numbers near the end of float32 would overflow in the network."""


def read_network(path: Path) -> tuple[HTDemucsArguments, dict[str, FloatArray]]:
    """Return the arguments and the parameters of a published file.

    Raises CheckpointError, with one sentence that begins with the file's name, for any other content.
    """
    try:
        return _read_checked(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name} cannot be used: {_lower_first(str(error))}") from error
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _read_checked(path: Path) -> tuple[HTDemucsArguments, dict[str, FloatArray]]:
    if not path.is_file():
        raise CheckpointError("It is not a file.")
    if path.stat().st_size > LARGEST_FILE:
        raise CheckpointError(f"It has more than {LARGEST_FILE >> 20} MiB.")
    file = read_torch_file(path) if zipfile.is_zipfile(path) else read_safetensors(path)
    arguments = read_arguments(file.args, file.kwargs)
    _check_shapes(arguments, file.shapes)
    weights = file.read_all()
    for name, values in weights.items():
        if not np.abs(values).max(initial=0) < LARGEST_WEIGHT:  # also false for NaN
            raise CheckpointError(f"Its parameter {name} holds numbers that are no weights.")
    return arguments, weights


def _check_shapes(arguments: HTDemucsArguments, shapes: Mapping[str, Shape]) -> None:
    expected = expected_shapes(arguments)
    for name in shapes:
        if name not in expected:
            raise CheckpointError(f"It holds a parameter that its network does not have: {name[:80]!r}.")
    for name, shape in expected.items():
        if name not in shapes:
            raise CheckpointError(f"It lacks the parameter {name}.")
        if shapes[name] != shape:
            raise CheckpointError(f"Its parameter {name} has another shape than its network needs.")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
