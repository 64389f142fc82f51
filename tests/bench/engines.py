"""`python -m tests.bench.engines [FAMILY]...`: the engines' speed, memory and sound, as a table and as JSON.

Owns the running and printing, not the measuring: every module in the folders beside this one that has a function `rows`
is a family of measurements. A row says `what` was measured, its `value` and its `unit`; other keys are notes to it.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

RESULTS = Path("bench-results") / "engines.json"

Row = Mapping[str, str | float]


def families() -> dict[str, str]:
    """Return the names of the modules that can measure something, and how they are imported."""
    here = Path(__file__).parent
    return {
        path.stem: ".".join(("tests.bench", *path.relative_to(here).with_suffix("").parts))
        for path in sorted(here.glob("*/*.py"))
        if "\ndef rows(" in path.read_text("utf-8")
    }


def run(names: Sequence[str]) -> dict[str, list[Row]]:
    """Measure the named families, or all; print each row as it comes, and write all to `RESULTS`."""
    measured: dict[str, list[Row]] = {}
    modules = families()
    for name in names or modules:
        began = time.perf_counter()
        measured[name] = importlib.import_module(modules[name]).rows()
        print(f"\n{name} ({time.perf_counter() - began:.0f} s)")
        for row in measured[name]:
            notes = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("what", "value", "unit"))
            print(f"  {row['what']:<52} {row['value']:>9} {row['unit']:<14} {notes}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"processor": platform.processor() or platform.machine(), "cores": len(os.sched_getaffinity(0))}
    RESULTS.write_text(json.dumps({"machine": machine, "families": measured}, indent=1) + "\n", "utf-8")
    return measured


if __name__ == "__main__":
    run(sys.argv[1:])
