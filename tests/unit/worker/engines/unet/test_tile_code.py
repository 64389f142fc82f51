"""numba notices a change of the tiles' code only if tiles.py changes too, so tiles.py holds the digest of tile_code.py.

python -m tests.unit.worker.engines.unet.test_tile_code    writes the digest into tiles.py
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parents[5] / "worker" / "engines" / "unet" / "bfloat16"
DIGEST = re.compile(r'(?<=^TILE_CODE_SHA256 = ")[^"]*(?="$)', re.MULTILINE)


def digest_of_the_code() -> str:
    return hashlib.sha256((FOLDER / "tile_code.py").read_bytes()).hexdigest()


def test_the_loops_hold_the_digest_of_the_code_that_they_call() -> None:
    found = DIGEST.search((FOLDER / "tiles.py").read_text())
    assert found is not None
    assert found[0] == digest_of_the_code(), "python -m tests.unit.worker.engines.unet.test_tile_code writes it"


if __name__ == "__main__":
    loops = FOLDER / "tiles.py"
    loops.write_text(DIGEST.sub(digest_of_the_code(), loops.read_text()))
