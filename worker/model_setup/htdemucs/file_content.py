"""What both formats of files give, and their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.engines.interface import FloatArray

CLASS_NAME = ("demucs.htdemucs", "HTDemucs")

LARGEST_FILE = 512 << 20
"""Far above the published files, which have 55 to 84 MB, or twice that in full precision."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class NetworkFile:
    """What a file holds, before its numbers are read.

    `args` and `kwargs` are those of the class. `shapes` maps the names of parameters to their shapes. `read_all`
    returns the parameters as float32; it raises CheckpointError and OSError.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    read_all: Callable[[], dict[str, FloatArray]]
