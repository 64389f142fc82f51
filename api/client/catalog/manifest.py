"""Manifests on this machine: JSON lines or CSV, one track a line, with options and metadata of its own.

Owns what a line looks like; what its fields say is fields.py's. A line that cannot be read becomes an item with an
error, and harms no other.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.client.catalog.fields import COLUMNS, read_item
from api.client.catalog.items import Item, SourceError
from api.client.models import Excerpt

ENDINGS = (".jsonl", ".ndjson", ".csv")

GROUPS = ("metadata.", "parameters.")
"""What begins the names of columns that hold members of these fields."""

MAX_LINE_BYTES = 65_536
"""Longer lines are refused; no option needs so many."""


DELIMITERS = ",;\t"
"""What may stand between cells: spreadsheets write semicolons where a comma belongs to numbers."""

NO_TEXT = "it holds text that is no UTF-8"


def _excerpt(cell: str) -> dict[str, float]:
    return {name: value for name, value in vars(Excerpt.parse(cell)).items() if value is not None}


CELLS: Mapping[str, Callable[[str], object]] = {
    "bit_depth": int,
    "bitrate_kbps": int,
    "start_seconds": float,
    "duration_seconds": float,
    "parameters": json.loads,
    "parameters.": lambda cell: json.loads(cell) if cell[0] in "-0123456789" else cell,
    "metadata": json.loads,
    "excerpt": _excerpt,
    "stems": lambda cell: cell.replace(",", " ").split(),
    "no_cache": lambda cell: {"true": True, "1": True, "yes": True, "false": False, "0": False}.get(cell.lower(), cell),
}
"""How the cells of a column are read; others are texts."""


def read_manifest(file: Path) -> Iterator[Item]:
    """Yield the items of a manifest, bad lines among them. Raises SourceError, OSError."""
    seen: Counter[str] = Counter()
    for number, fields in _lines(file):
        item = read_item(fields, number, file.parent)
        seen[item.ident] += 1
        # The same line twice is two tracks, and stays the same two.
        ident = item.ident if seen[item.ident] == 1 else f"{item.ident}#{seen[item.ident]}"
        yield replace(item, ident=ident)


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each line's number with its fields, or with what is wrong with it."""
    header, delimiter = list[str](), ","
    is_csv = file.suffix.lower() == ".csv"
    for number, line in _physical_lines(file):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape").strip()
        if len(line) > MAX_LINE_BYTES:
            yield number, "the line is too long"
        elif not text:
            continue
        elif not is_csv:
            yield number, _json_fields(text)
        elif not header:
            # No column has one of them in its name.
            delimiter = next((d for d in DELIMITERS if d in text), ",")
            header = _header(file, text, delimiter)
        else:
            yield number, _csv_fields(header, text, delimiter)


def _physical_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield lines, of long ones no more than shows that they are: a file without line ends is not held in memory."""
    with file.open("rb") as opened:
        number = 0
        while line := opened.readline(MAX_LINE_BYTES + 1):
            number += 1
            yield number, line
            while not line.endswith(b"\n") and (line := opened.readline(MAX_LINE_BYTES)):
                pass


def _json_fields(text: str) -> dict[str, Any] | str:
    try:
        fields = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return "it is no JSON"
    if not isinstance(fields, dict):
        return "it is no JSON object"
    if not _is_text(json.dumps(fields, ensure_ascii=False)):
        return NO_TEXT
    if unknown := sorted(fields.keys() - COLUMNS):
        return f"it has a field that is unknown: {unknown[0]!r}"
    return fields


def _is_text(text: str) -> bool:
    """Return whether a text can be sent: half a surrogate pair cannot, nor bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _header(file: Path, text: str, delimiter: str) -> list[str]:
    if not _is_text(text):
        raise SourceError(f"{file.name} is no UTF-8")
    header = [name.strip() for name in _cells(text, delimiter)]
    if unknown := [n for n in header if n not in COLUMNS and not n.startswith(GROUPS)]:
        raise SourceError(f"{file.name}: the column {unknown[0]!r} is unknown")
    return header


def _cells(text: str, delimiter: str) -> list[str]:
    # Line by line: a quote that is left open must not swallow the lines below it.
    return next(csv.reader([text], strict=True, delimiter=delimiter), [])


def _csv_fields(header: list[str], text: str, delimiter: str) -> dict[str, Any] | str:
    try:
        row = _cells(text, delimiter)
    except csv.Error as error:
        return f"it is no CSV: {error}"
    if len(row) > len(header):
        return f"it has {len(row)} fields for {len(header)} columns"
    fields: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=False):
        if not (given := cell.strip()):
            continue
        # A file's name may be any bytes.
        if name not in {"path", "track"} and not _is_text(given):
            return NO_TEXT
        try:
            value = CELLS.get("parameters." if name.startswith("parameters.") else name, str)(given)
        except ValueError:
            return f"{name} cannot be read: {given[:80]!r}"
        group, dot, member = name.partition(".")
        if dot:
            fields.setdefault(group, {})[member] = value
        else:
            fields[name] = value
    return fields
