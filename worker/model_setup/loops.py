"""Compiles the engines' loops into numba's cache, once per machine, so that no job waits for it.

Owns the stamp that tells when it was done; numba owns the cache, and finds by itself when a loop has changed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from worker import pipeline
from worker.engine import repetition
from worker.engine.unet import bfloat16
from worker.engine.unet.machine import BFLOAT16_INSTRUCTIONS, has_instructions, this_machine

STAMP_NAME = ".loops-compiled"


def compile_loops(cache: Path) -> bool:
    """Compile what the stamp in this folder does not know of (15 to 20 s); return whether there was anything to do."""
    stamp, wanted = cache / STAMP_NAME, _fingerprint()
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    # The font list, and modules that Python has compiled: a child cannot leave them to the next one.
    pipeline.warm()
    repetition.warm()
    if has_instructions(BFLOAT16_INSTRUCTIONS):
        from worker.engine.unet.bfloat16 import tiles  # noqa: PLC0415 - no other processor can run them

        tiles.warm()
    stamp.write_text(wanted)
    return True


def _fingerprint() -> str:
    folders = [Path(str(package.__file__)).parent for package in (repetition, bfloat16)]
    # numba looks for what it has compiled by processor, and beside the source unless it is told where.
    digest = hashlib.sha256(
        f"{folders} {this_machine(('numba', 'matplotlib'))} {os.environ.get('NUMBA_CACHE_DIR')}".encode()
    )
    for source in sorted(source for folder in folders for source in folder.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
