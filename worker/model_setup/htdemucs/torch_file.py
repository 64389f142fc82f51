"""Reads a network's arguments and parameters from a file that torch wrote: a zip archive of a pickle and raw numbers.

The archive must be as torch writes it: members are stored, not compressed, under one folder, each name once. So no
member is larger than the file.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from worker.engines.interface import FloatArray
from worker.model_setup.errors import CheckpointError
from worker.model_setup.htdemucs.file_content import NetworkFile
from worker.model_setup.htdemucs.torch_pickle import PickledTensor, read_pickle

_LARGEST_PICKLE = 4 << 20
_MOST_MEMBERS = 10_000
_BROKEN_ARCHIVE = (zipfile.BadZipFile, LookupError, NotImplementedError, EOFError, RuntimeError, ValueError)
"""What zipfile raises for damaged archives, and numpy for members that end early."""


def read_torch_file(path: Path) -> NetworkFile:
    """Return what a file of torch holds. Its numbers are read later. Raises CheckpointError and OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            folder = _checked_folder(archive, path.stat().st_size)
            pickled = archive.getinfo(f"{folder}/data.pkl")
            if pickled.file_size > _LARGEST_PICKLE:
                raise CheckpointError("Its pickle is too large.")
            package = read_pickle(archive.read(pickled))
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except _BROKEN_ARCHIVE as error:
        raise _not_an_archive() from error
    for name, tensor in package.state.items():
        _check_storage(name, tensor, sizes.get(f"{folder}/data/{tensor.key}"))

    def read_all() -> dict[str, FloatArray]:
        try:
            with zipfile.ZipFile(path) as archive:
                return {name: _numbers(archive, folder, tensor) for name, tensor in package.state.items()}
        except _BROKEN_ARCHIVE as error:
            raise _not_an_archive() from error

    shapes = {name: tensor.shape for name, tensor in package.state.items()}
    return NetworkFile(package.args, package.kwargs, shapes, read_all)


def _not_an_archive() -> CheckpointError:
    return CheckpointError("It is not a whole archive as torch writes it.")


def _checked_folder(archive: zipfile.ZipFile, file_size: int) -> str:
    """Return the name of the folder that all members are in."""
    members = archive.infolist()
    names = {member.filename for member in members}
    if not members or len(members) > _MOST_MEMBERS or len(names) < len(members):
        raise CheckpointError("Its archive has no members, too many, or two of one name.")
    folder = members[0].filename.split("/")[0]
    for member in members:
        parts = member.filename.split("/")
        if parts[0] != folder or not 2 <= len(parts) <= 3 or not all(parts) or {".", ".."} & set(parts):
            raise CheckpointError("Its archive has members outside its folder.")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise CheckpointError("Its archive is compressed or encrypted, which torch never does.")
        if member.compress_size != member.file_size:
            raise CheckpointError("Its archive contradicts itself.")
    if sum(member.file_size for member in members) > file_size:
        raise CheckpointError("Its archive's members overlap.")
    if f"{folder}/byteorder" in names and archive.read(f"{folder}/byteorder") != b"little":
        raise CheckpointError("Its numbers are not in little-endian order.")
    return folder


def _check_storage(name: str, tensor: PickledTensor, size: int | None) -> None:
    if size is None or size != 2 * tensor.storage_items or math.prod(tensor.shape) != tensor.storage_items:
        raise CheckpointError(f"Its parameter {name[:80]!r} does not fit its numbers.")


def _numbers(archive: zipfile.ZipFile, folder: str, tensor: PickledTensor) -> FloatArray:
    content = archive.read(f"{folder}/data/{tensor.key}")
    return np.frombuffer(content, "<f2").astype(np.float32).reshape(tensor.shape)
