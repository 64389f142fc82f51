"""The command `python -m worker.model_setup --cache DIR` prepares this machine for its first job.

Prints the model folder, or one line that says what is missing; then a line for each model that was built again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from shared.settings import read_settings
from worker.child.sandbox import Prepared
from worker.model_setup.catalog.rebuild import rebuild_models
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.loops import compile_loops
from worker.model_setup.unet.setup import set_up


def main(arguments: list[str] | None = None) -> int:
    """Set up the models. Return the exit code: 0 if they are ready, 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m worker.model_setup", description=main.__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="the folder that contains the model folders")
    cache = parser.parse_args(arguments).cache
    settings = read_settings("model_setup")
    # numba and matplotlib are imported later.
    os.environ.update(Prepared.beside(cache).environment())
    try:
        cache.mkdir(parents=True, exist_ok=True)
        compile_loops(cache)
        is_ready = _set_up_unet(cache, settings.unet_precision or settings.model_precision)
    except OSError as error:
        sys.stderr.write(f"The models cannot be set up in {cache}: {error.strerror or error}.\n")
        return 1
    rebuild_models(cache, lambda sentence: sys.stdout.write(f"{sentence}\n"), settings.model_precision)
    return 0 if is_ready else 1


def _set_up_unet(cache: Path, precision: str) -> bool:
    """Set up `unet` and say so. Return whether it is there."""
    try:
        folder, built = set_up(cache, precision)
    except ModelSetupError as error:
        sys.stderr.write(f"{error}\n")
        return False
    sys.stdout.write(f"{folder} {'built' if built else 'is ready'}\n")
    return True


if __name__ == "__main__":
    sys.exit(main())
