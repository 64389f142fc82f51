"""The command `python -m worker.model_setup --cache DIR`: makes ready what this machine needs before its first job.

Prints the model folder, or one line on what is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from shared.settings import read_settings
from worker.child_sandbox import Prepared
from worker.model_setup.errors import SetupError
from worker.model_setup.loops import compile_loops
from worker.model_setup.setup import set_up


def main(arguments: list[str] | None = None) -> int:
    """Set the models up; return the exit code: 0 when they are ready, 1 when something is missing."""
    parser = argparse.ArgumentParser(prog="python -m worker.model_setup", description=main.__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="the folder that holds the model folders")
    cache = parser.parse_args(arguments).cache
    precision = read_settings("model_setup").unet_precision
    # numba and matplotlib are imported later.
    os.environ.update(Prepared.beside(cache).environment())
    try:
        cache.mkdir(parents=True, exist_ok=True)
        compile_loops(cache)
        folder, built = set_up(cache, precision)
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The models cannot be set up in {cache}: {error.strerror or error}.\n")
        return 1
    sys.stdout.write(f"{folder} {'built' if built else 'is ready'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
