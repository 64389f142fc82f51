"""The networks of `unet` in files that any machine can make: a graph in ONNX (float32) and a plan (bfloat16) of each.

Making them needs `onnx` and the weights. An image has these files and neither of the two; elsewhere set-up makes the
files when it needs them. What fits one processor is made from them (`forms.py`).

    python -m worker.model_setup.unet.portable [FOLDER]
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.engines.model_folder import sha256_of
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.unet import spleeter
from worker.model_setup.unet.checkpoint import read_checkpoint
from worker.model_setup.unet.weights import find_weights

PREBUILT = Path(sys.prefix) / "share/stemqueue/unet"
"""Where an image has them."""

LIST_NAME = "contents.json"


@contextmanager
def portable_networks(scratch: Path) -> Iterator[Path]:
    """Yield a folder with the files of each stem: those of the image, or else new ones below `scratch`.

    Raises ModelSetupError: the weights are missing, or the image's files are not as they were built.
    """
    if (PREBUILT / LIST_NAME).is_file():
        _check_prebuilt()
        yield PREBUILT
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        write_portable(Path(folder))
        yield Path(folder)


def write_portable(folder: Path) -> None:
    """Write the files of each stem into a folder, and their list. Raises ModelSetupError."""
    checkpoints = find_weights(spleeter.DISTRIBUTION, spleeter.CHECKPOINTS, spleeter.DIGESTS)
    try:
        from worker.model_setup.unet.spleeter_graph import build_network  # noqa: PLC0415 - onnx may be missing
        from worker.model_setup.unet.spleeter_plan import write_network  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModelSetupError(f"The networks of unet cannot be built without the package {error.name}.") from error
    for stem, path in checkpoints.items():
        weights = read_checkpoint(path)
        (folder / f"{stem}.onnx").write_bytes(build_network(weights).SerializeToString(deterministic=True))
        write_network(weights, folder / f"{stem}.json")
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / LIST_NAME).write_text(json.dumps({**_made_from(), "files": files}, indent=1) + "\n")


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
    write_portable(target)
