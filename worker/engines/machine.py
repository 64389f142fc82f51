"""Describes this machine as far as an optimised model depends on it.

On another processor an optimised model is slow at best and wrong at worst.
"""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path

BFLOAT16_INSTRUCTIONS = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16"})
"""The instruction sets that the compiled bfloat16 loops need, by the names that Linux gives them."""


def describe_machine(packages: tuple[str, ...]) -> dict[str, str]:
    """Return what an optimised model depends on: the processor's instructions and the versions of these packages."""
    instructions = _processor_flags() or platform.processor()
    known = {"processor": f"{platform.machine()} {hashlib.sha256(instructions.encode()).hexdigest()[:16]}"}
    for package in packages:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            known[package] = ""
    return known


def has_instructions(names: frozenset[str]) -> bool:
    """Return whether this processor has all these instruction sets. False where they cannot be listed."""
    return names <= set(_processor_flags().split())


def _processor_flags() -> str:
    """Return the processor's instruction sets, as Linux lists them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
