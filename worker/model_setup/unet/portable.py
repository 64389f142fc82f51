"""The networks of `unet` in files that any machine can make: a graph in ONNX (float32) and a plan (bfloat16) of each.

Both hold the same weights in another arrangement, so they are made where they are needed: set-up makes them, makes what
fits one processor from them (`forms.py`), and removes them. Making them takes the weights, and for the graph without
its constants also `onnx`. An image has the weights and these graphs, and no `onnx`.

    python -m worker.model_setup.unet.portable [FOLDER]
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from worker.engines.model_folder import sha256_of
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.unet import spleeter
from worker.model_setup.unet.checkpoint import read_checkpoint
from worker.model_setup.unet.spleeter_graph import MAGNITUDES_SHAPE, Weights, build_network
from worker.model_setup.unet.spleeter_plan import write_network
from worker.model_setup.unet.weights import find_weights

PREBUILT = Path(sys.prefix) / "share/stemqueue/unet"
"""Where an image has the weights and the graph of each stem."""

LIST_NAME = "contents.json"


@contextmanager
def portable_networks(scratch: Path) -> Iterator[Path]:
    """Yield a new folder below `scratch` with a graph, its constants, a plan and its numbers for each stem.

    Raises ModelSetupError: the weights are missing, or the image's files are not as they were built.
    """
    is_image = (PREBUILT / LIST_NAME).is_file()
    if is_image:
        _check_prebuilt()
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        for stem, weights in _prebuilt_weights() if is_image else _published_weights():
            if is_image:
                shutil.copyfile(PREBUILT / f"{stem}.onnx", folder / f"{stem}.onnx")
            else:
                _write_graph(weights, folder / f"{stem}.onnx")
            graph, _ = build_network(weights)
            graph.write_constants(folder / f"{stem}.constants")
            write_network(weights, folder / f"{stem}.json")
        yield folder


def write_prebuilt(folder: Path) -> None:
    """Write what an image has into a folder, with a list of it. Raises ModelSetupError."""
    for stem, weights in _published_weights():
        # A checkpoint takes half as much again.
        np.savez(folder / f"{stem}.npz", allow_pickle=False, **weights)
        _write_graph(weights, folder / f"{stem}.onnx")
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / LIST_NAME).write_text(json.dumps({**_made_from(), "files": files}, indent=1) + "\n")


def _published_weights() -> Iterator[tuple[str, Weights]]:
    """Yield each stem with the weights in the installed package."""
    for stem, path in find_weights(spleeter.DISTRIBUTION, spleeter.CHECKPOINTS, spleeter.DIGESTS).items():
        yield stem, read_checkpoint(path)


def _prebuilt_weights() -> Iterator[tuple[str, Weights]]:
    """Yield each stem with the weights in the image."""
    for stem in spleeter.CHECKPOINTS:
        with np.load(PREBUILT / f"{stem}.npz", allow_pickle=False) as arrays:
            yield stem, dict(arrays)


def _write_graph(weights: Weights, path: Path) -> None:
    """Write the graph of a network, whose constants are in the file beside it with the suffix `.constants`."""
    graph, gains = build_network(weights)
    constants = path.with_suffix(".constants").name
    try:
        model = graph.model(gains=gains, magnitudes_shape=MAGNITUDES_SHAPE, constants_name=constants)
    except ModuleNotFoundError as error:
        raise ModelSetupError(f"The networks of unet cannot be built without the package {error.name}.") from error
    path.write_bytes(model.SerializeToString(deterministic=True))


def _made_from() -> Mapping[str, Any]:
    """Return what the files depend on, beside the code that `GRAPH` stands for."""
    return {"graph": spleeter.GRAPH, "weights": dict(spleeter.DIGESTS)}


def _check_prebuilt() -> None:
    found = json.loads((PREBUILT / LIST_NAME).read_text())
    files = found.pop("files")
    if found != _made_from() or any(sha256_of(PREBUILT / name) != digest for name, digest in files.items()):
        raise ModelSetupError(f"The networks in {PREBUILT} are not those that this version was built with.")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PREBUILT
    target.mkdir(parents=True, exist_ok=True)
    write_prebuilt(target)
