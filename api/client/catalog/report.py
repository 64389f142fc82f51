"""What a run tells in the end: `report.csv` with a row for each track, and a summary."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.client.catalog.downloading import fetched_files
from api.client.catalog.run_state import Row, RunState

COLUMNS = (
    *("number", "line", "track", "folder", "state", "job_id", "error_code", "error_message", "attempts"),
    *("duration_seconds", "seconds", "real_time_factor", "input_sha256", "outputs"),
)

NAME = "report.csv"


def write_report(state: RunState, out: Path) -> Path:
    """Write `report.csv`, whole or not at all, in the order of the catalog; return its path."""
    path, partial = out / NAME, state.folder / NAME
    with partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        rows.writerows({name: _cell(value) for name, value in report_row(row).items()} for row in state.each())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def report_row(row: Row) -> Mapping[str, Any]:
    """Return what is told of a track; `outputs` are paths below the output folder, or where the server has them."""
    detail = json.loads(row["detail"] or "{}")
    outputs = fetched_files(row) or [output["url"] for output in detail.get("outputs") or ()]
    return {
        **{name: row[name] for name in ("number", "line", "track", "folder", "state", "job_id")},
        "error_code": row["code"],
        "error_message": row["message"],
        **{name: detail.get(name) for name in COLUMNS[COLUMNS.index("attempts") : -1]},
        "outputs": "; ".join(outputs),
    }


def _cell(value: object) -> object:
    # A spreadsheet takes text that begins so for a formula, and strangers name songs.
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
