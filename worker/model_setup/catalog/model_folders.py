"""MODEL_FOLDER as `stemqueue-models` changes it: one command at a time, and models appear complete or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.engines.model_folder import MANIFEST_NAME
from worker.model_setup.catalog.known_models import NAME
from worker.model_setup.errors import ModelSetupError

WEIGHTS = ".weights"
"""The folder in MODEL_FOLDER with the files that models were built from, and with those that are being downloaded."""

BUILDING = ".building-"
"""How names of folders begin in which a model is being built. Workers ignore them."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Create MODEL_FOLDER if need be, and hold it for this command alone. The kernel frees it when the process ends.

    Raises ModelSetupError if another command holds it, OSError if it cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelSetupError(
                f"Another stemqueue-models is running in {folder}. Wait until it has ended."
            ) from error
        _remove_leftovers(folder)
        yield
    finally:
        os.close(handle)


@contextmanager
def building_folder(folder: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder to build a model in. Afterwards it becomes the model's, unless there was an error."""
    with tempfile.TemporaryDirectory(prefix=BUILDING, dir=folder, ignore_cleanup_errors=True) as scratch:
        built = Path(scratch) / name
        built.mkdir()
        yield built
        if not (built / MANIFEST_NAME).is_file():
            raise ModelSetupError(f"The model {name} was not built completely.")
        target = folder / name
        if target.exists():
            # Processes that have the old files open keep them.
            target.rename(Path(scratch) / "old")
        built.rename(target)


@contextmanager
def weights_folder(folder: Path, name: str) -> Iterator[Path]:
    """Yield the folder for the files of a model. It is removed afterwards if nothing is in it."""
    weights = folder / WEIGHTS / name
    weights.mkdir(parents=True, exist_ok=True)
    try:
        yield weights
    finally:
        for path in (weights, weights.parent):
            # Fails where there still is something in it.
            with contextlib.suppress(OSError):
                path.rmdir()


def remove_model(folder: Path, name: str) -> None:
    """Remove a model and its files, also a broken download. Processes that have files open finish with them.

    Raises ModelSetupError if there is nothing of this name.
    """
    target, weights = folder / name, folder / WEIGHTS / name
    if not NAME.fullmatch(name) or not ((target / MANIFEST_NAME).is_file() or weights.is_dir()):
        raise ModelSetupError(f"There is no model {name!r} in {folder}.")
    with tempfile.TemporaryDirectory(prefix=BUILDING, dir=folder, ignore_cleanup_errors=True) as scratch:
        for path in (target, weights):
            if path.is_dir():
                path.rename(Path(scratch) / f"{len(path.parts)}")
    with contextlib.suppress(OSError):
        weights.parent.rmdir()


def model_names(folder: Path) -> list[str]:
    """Return the names of the models in MODEL_FOLDER."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if (path / MANIFEST_NAME).is_file())


def _remove_leftovers(folder: Path) -> None:
    """Remove what a command left that was killed."""
    for path in folder.glob(f"{BUILDING}*"):
        shutil.rmtree(path, ignore_errors=True)
