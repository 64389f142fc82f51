"""Writes `report.csv`, with a row for each track of a run, and one for each file that was not taken as a song."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.client.catalog.batch_progress import DETAIL_FIELDS
from api.client.catalog.downloading import downloaded_files
from api.client.catalog.run_state import Row, RunState
from api.client.catalog.tracks.left_out import REASONS, LeftOutPath
from shared.parsing.spreadsheet_cells import harmless_cell

COLUMNS = ("number", "line", "track", "folder", "state", "job_id", "error_code", "error_message", *DETAIL_FIELDS)

NAME = "report.csv"


def write_report(state: RunState, out: Path) -> Path:
    """Write `report.csv` in the catalog's order, complete or not at all; return its path."""
    path, partial = out / NAME, state.folder / NAME
    with partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for row in (*map(report_row, state.iterate_items()), *map(left_out_row, state.left_out())):
            rows.writerow({name: harmless_cell(value) for name, value in row.items()})
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def report_row(row: Row) -> Mapping[str, Any]:
    """Return the report's row for an item. `outputs` are paths below the output folder, or else URLs of the server."""
    detail = json.loads(row["detail"] or "{}")
    outputs = downloaded_files(row) or [output["url"] for output in detail.get("outputs") or ()]
    return {
        **{name: row[name] for name in ("number", "line", "track", "folder", "state", "job_id")},
        "error_code": row["code"],
        "error_message": row["message"],
        **{name: detail.get(name) for name in DETAIL_FIELDS},
        "outputs": "; ".join(outputs),
        "notes": " ".join(detail.get("notes") or ()),
    }


def left_out_row(item: LeftOutPath) -> Mapping[str, Any]:
    """Return the report's row for something that is not taken as a song."""
    counted = f"{item.files} files: " if item.files != 1 else ""
    message = counted + REASONS.get(item.reason, item.reason)
    return {"track": item.path, "state": "left_out", "error_code": item.reason, "error_message": message}
