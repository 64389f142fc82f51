"""This machine, as far as an optimised model depends on it.

On another processor an optimised model is slower at best and wrong at worst.
"""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path


def this_machine(packages: tuple[str, ...]) -> dict[str, str]:
    """Return what an optimised graph depends on: the processor's instructions and the packages' versions."""
    instructions = _processor_flags() or platform.processor()
    known = {"processor": f"{platform.machine()} {hashlib.sha256(instructions.encode()).hexdigest()[:16]}"}
    for package in packages:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            known[package] = ""
    return known


def _processor_flags() -> str:
    """Return the line of instruction sets on Linux; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
