"""Compiles the engines' loops into numba's cache, once per machine, so that no job waits for it.

A stamp file says for which loops this has been done. numba itself notices when a loop has changed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from worker.engines import repetition
from worker.engines.machine import BFLOAT16_INSTRUCTIONS, describe_machine, has_instructions
from worker.engines.unet import bfloat16
from worker.pipeline.run import warm_up

STAMP_NAME = ".loops-compiled"


def compile_loops(cache: Path) -> bool:
    """Compile the loops (15 to 20 s) unless the stamp in this folder is current. Return whether that was needed."""
    stamp, wanted = cache / STAMP_NAME, _fingerprint()
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    # The font list, and modules that Python has compiled: a child cannot leave them to the next one.
    warm_up()
    repetition.warm_up()
    if has_instructions(BFLOAT16_INSTRUCTIONS):
        from worker.engines.unet.bfloat16 import tiles  # noqa: PLC0415 - other processors cannot compile it

        tiles.warm_up()
    stamp.write_text(wanted)
    return True


def _fingerprint() -> str:
    """Return a digest of what the compiled loops depend on: sources, processor, numba, and where numba's cache is."""
    folders = [Path(str(package.__file__)).parent for package in (repetition, bfloat16)]
    # numba looks for what it has compiled by processor, and beside the source unless it is told where.
    digest = hashlib.sha256(
        f"{folders} {describe_machine(('numba', 'matplotlib'))} {os.environ.get('NUMBA_CACHE_DIR')}".encode()
    )
    for source in sorted(source for folder in folders for source in folder.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
