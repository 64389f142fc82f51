"""Reads a manifest line by line, as JSON lines or CSV, with bounded memory. Reading can resume after each line.

A CSV record is always one line, so a quote that is never closed makes only its own line invalid.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from shared.batches.manifest_fields import COLUMNS, GROUPS, LineError, item_from_cells, item_from_fields
from shared.errors import ManifestInvalidError
from shared.strict_json import read_json

MAX_LINE_BYTES = 65_536
"""The longest line. Raising it allows more metadata per item."""

COLUMNS = frozenset(
    {
        *("track", "upload_id", "bucket", "key", "url", "engine", "preset", "format", "stems", "no_cache"),
        *("start_seconds", "duration_seconds", "bit_depth", "bitrate_kbps"),
    }
)

GROUPS = ("metadata.", "parameters.")
"""Prefixes of columns that hold members of these fields."""


DELIMITERS = ",;\t"
"""The accepted delimiters: spreadsheets write semicolons in countries with decimal commas."""


@dataclass(frozen=True)
class Header:
    """The first line of a CSV: the names of the columns, and the delimiter."""

    names: tuple[str, ...]
    delimiter: str = ","


@dataclass(frozen=True)
class ManifestLine:
    """A line with an item: the values in the form of an item's JSON, or what is wrong with the line."""

    number: int
    end: int
    """The offset of the end of this line in bytes, where reading can resume."""
    values: dict[str, Any] | None = None
    error: str | None = None


def read_lines(
    blocks: Iterable[bytes], form: str, *, offset: int = 0, number: int = 0, header: Header | None = None
) -> Iterator[ManifestLine]:
    """Yield the lines with items. The blocks begin at `offset`, which is after `number` lines.

    Give the CSV's `header` if its line is before the offset. Raises ManifestInvalidError.
    """
    for raw, end in _split(blocks, offset):
        number += 1
        text = error = None
        if raw is None:
            yield ManifestLine(number, end, error=f"The line is longer than {MAX_LINE_BYTES:,} bytes.")
            continue
        try:
            text = raw.decode("utf-8-sig" if end - len(raw) <= 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError:
            yield ManifestLine(number, end, error="The line is not valid UTF-8.")
            continue
        if not text.strip():
            continue
        if form == "jsonl":
            yield _json_line(text, number, end)
        elif header is None:
            header = read_header(text)
        else:
            try:
                text = _decode(raw, is_first=end - len(raw) <= 1, any_bytes=has_paths and form == "csv")
            except UnicodeDecodeError:
                error = "The line is not UTF-8."
        if text is not None and not text.strip():
            continue
        if form == "csv" and header is None:
            if text is None:
                raise ManifestInvalidError(f"The manifest's header cannot be read. {error}")
            header = read_header(text, has_paths=has_paths)
        elif text is None:
            yield Line(number, end, error=error)
        else:
            try:
                values = _json_values(text) if form == "jsonl" or header is None else _csv_values(text, header)
                yield Line(number, end, values=values)
            except LineError as refused:
                yield Line(number, end, error=str(refused))


def read_header(text: str, *, has_paths: bool = False) -> Header:
    """Read the first line of a CSV. Raises ManifestInvalidError."""
    # No column's name contains a delimiter.
    delimiter = next((d for d in DELIMITERS if d in text), ",")
    try:
        names = [name.strip() for name in next(csv.reader([text], strict=True, delimiter=delimiter))]
    except (csv.Error, StopIteration) as error:
        raise ManifestInvalidError("The manifest's first line is not valid CSV.") from error
    if not any(names):
        raise ManifestInvalidError("The manifest's first line does not name any column.")
    unknown = [n for n in names if n not in COLUMNS and not n.startswith(GROUPS)]
    if unknown:
        known = ", ".join(sorted(COLUMNS))
        message = f"The manifest has the unknown column {unknown[0][:100]!r}; use {known}, metadata.… and parameters.…"
        raise ManifestInvalidError(message)
    if len(set(names)) < len(names):
        raise ManifestInvalidError("The manifest has two columns of the same name.")
    return Header(tuple(names), delimiter)


def _decode(raw: bytes, *, is_first: bool, any_bytes: bool) -> str:
    errors = "surrogateescape" if any_bytes else "strict"
    return raw.decode("utf-8-sig" if is_first else "utf-8", errors).strip("\r\n")


def _is_text(text: str) -> bool:
    """Return whether the text is Unicode, without bytes that were escaped because they are not UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _split(blocks: Iterable[bytes], offset: int) -> Iterator[tuple[bytes | None, int]]:
    """Yield each line without its line break, or None for one that is too long, and the offset behind it."""
    line = _LineBuffer(offset)
    for block in blocks:
        *ended, rest = block.split(b"\n")
        for part in ended:
            line.append(part)
            yield line.take(line_break=1)
        line.append(rest)
    if line.length:
        yield line.take(line_break=0)


class _LineBuffer:
    """The line that is being read. Holds MAX_LINE_BYTES at most, however long the line is."""

    def __init__(self, offset: int) -> None:
        self.length = 0
        self._begin = offset
        self._held = bytearray()

    def append(self, part: bytes) -> None:
        self.length += len(part)
        if self.length <= MAX_LINE_BYTES:
            self._held += part

    def take(self, *, line_break: int) -> tuple[bytes | None, int]:
        """End the line; return its bytes (None: too long) and the offset behind it and its line break."""
        content = bytes(self._held) if self.length <= MAX_LINE_BYTES else None
        self._begin += self.length + line_break
        self.length = 0
        self._held.clear()
        return content, self._begin


def _json_line(text: str, number: int, end: int) -> ManifestLine:
    try:
        values = read_json(text)
    except (ValueError, RecursionError):
        return ManifestLine(number, end, error="The line is not valid JSON.")
    if not isinstance(values, dict):
        return ManifestLine(number, end, error="The line is not a JSON object.")
    return ManifestLine(number, end, values=values)


def _csv_line(text: str, header: Header, number: int, end: int) -> ManifestLine:
    try:
        cells = next(csv.reader([text], strict=True, delimiter=header.delimiter))
    except (csv.Error, StopIteration):
        return ManifestLine(number, end, error="The line is not valid CSV: check its quotes.")
    if len(cells) != len(header.names):
        return ManifestLine(number, end, error=f"The line has {len(cells)} columns, the first has {len(header.names)}.")
    flat = {name: cell.strip() for name, cell in zip(header.names, cells, strict=True) if cell.strip()}
    values: dict[str, Any] = {}
    for name, cell in flat.items():
        group, dot, member = name.partition(".")
        if dot:
            values.setdefault(group, {})[member] = _number(cell) if group == "parameters" else cell
        else:
            values[name] = cell
    source: dict[str, Any] = {name: values.pop(name) for name in ("upload_id", "url") if name in values}
    place = {name: values.pop(name) for name in ("bucket", "key") if name in values}
    if place:
        source["s3"] = place
    excerpt = {name: values.pop(name) for name in ("start_seconds", "duration_seconds") if name in values}
    if excerpt:
        values["excerpt"] = excerpt
    if "stems" in values:
        values["stems"] = [name for name in re.split(r"[,;\s]+", values["stems"]) if name]
    return ManifestLine(number, end, values={**values, "source": source})


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
