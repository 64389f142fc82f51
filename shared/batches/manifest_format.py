"""Reads a manifest line by line, as JSONL or CSV, in bounded memory; reading can resume after any line.

Server and client read manifests with this module, so it uses the standard library only. manifest_fields.py says what
the fields mean. A CSV record is one line: a quote that is never closed spoils its own line and no other.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from shared.batches.manifest_fields import COLUMNS, GROUPS, LineError, item_from_cells, item_from_fields
from shared.errors import ManifestInvalidError
from shared.parsing.strict_json import read_json

MAX_LINE_BYTES = 65_536
"""The longest line; raising it lets items carry more metadata."""

MAX_HEADER_BYTES = 65_536
"""How far into a CSV its header may end. Whoever resumes reads it again, with the empty lines before it."""

MAX_LINES = 10_000_000
"""The most lines of a manifest, as many as a batch may have tracks. Empty ones count: reading them takes time too."""

DELIMITERS = ",;\t"
"""The separators of cells. Spreadsheets write semicolons where the comma is the decimal separator."""

SEPARATOR_LINE = re.compile('"?sep=.?"?[,;\t]*', re.IGNORECASE)
"""What some programs write before the header, to tell Excel the separator."""

SPELLINGS = {column.replace("_", ""): column for column in COLUMNS}

PATHS = frozenset({"path", "track"})
"""With `has_paths`, cells of these columns may hold any bytes: file names are not always UTF-8."""


@dataclass(frozen=True)
class Header:
    """The first line of a CSV: the names of the columns and the separator."""

    names: tuple[str, ...]
    delimiter: str = ","


@dataclass(frozen=True)
class ManifestLine:
    """A line that is not empty: its values in the form of an item's JSON, or an error."""

    number: int
    end: int
    """Bytes from the manifest's start to the end of this line: where to resume."""
    values: dict[str, Any] | None = None
    error: str | None = None


def read_lines(
    blocks: Iterable[bytes],
    form: str,
    *,
    offset: int = 0,
    number: int = 0,
    header: Header | None = None,
    has_paths: bool = False,
) -> Iterator[ManifestLine]:
    """Yield the lines that hold items. `form` is `jsonl` or `csv`.

    To resume, the blocks begin at `offset` bytes, `number` lines lie before them, and `header` is the CSV's. With
    `has_paths` lines may name files by `path`. Raises ManifestInvalidError for a CSV's header, and for too many lines.
    """
    for text, unreadable, end in split_lines(blocks, offset=offset, any_bytes=has_paths and form == "csv"):
        number += 1
        if number > MAX_LINES:
            raise ManifestInvalidError(f"The manifest has more than {MAX_LINES:,} lines.")
        if form == "csv" and header is None and text is None:
            raise ManifestInvalidError(f"The manifest's header cannot be read. {unreadable}")
        if form == "csv" and header is None and end > MAX_HEADER_BYTES:
            raise ManifestInvalidError(f"The manifest has no header in its first {MAX_HEADER_BYTES:,} bytes.")
        if text is not None and not text.strip():
            continue
        if form == "csv" and header is None and text is not None:
            if SEPARATOR_LINE.fullmatch(text.strip()):
                continue
            header = read_header(text, has_paths=has_paths)
            continue
        values, error = None, unreadable
        if text is not None:
            try:
                values = _csv_values(text, header) if form == "csv" and header else _json_values(text)
            except LineError as refused:
                error = str(refused)
        yield ManifestLine(number, end, values=values, error=error)


def split_lines(
    blocks: Iterable[bytes], *, offset: int = 0, any_bytes: bool
) -> Iterator[tuple[str | None, str | None, int]]:
    """Yield each line's text, or None and what is wrong with the line, and the offset in bytes behind it.

    With `any_bytes`, bytes that are not UTF-8 are escaped as those of file names are.
    """
    for raw, end in _split(blocks, offset):
        yield *_decode(raw, end, any_bytes=any_bytes), end


def read_header(text: str, *, has_paths: bool = False) -> Header:
    """Read the first line of a CSV. Raises ManifestInvalidError."""
    if not _is_text(text):
        raise ManifestInvalidError("The manifest's header cannot be read. The line is not UTF-8.")
    # No column's name contains a separator.
    delimiter = next((d for d in DELIMITERS if d in text), ",")
    try:
        names = [_column(name) for name in next(csv.reader([text], strict=True, delimiter=delimiter))]
    except (csv.Error, StopIteration) as error:
        raise ManifestInvalidError("The manifest's header is not valid CSV.") from error
    while names and not names[-1]:
        # Spreadsheets write empty columns behind the last one.
        names.pop()
    if not names:
        raise ManifestInvalidError("The manifest's header names no columns.")
    columns = COLUMNS | {"path"} if has_paths else COLUMNS
    unknown = [n for n in names if n and n not in columns and not n.startswith(GROUPS)]
    if unknown:
        known = ", ".join(sorted(columns))
        message = f"The column {unknown[0][:100]!r} is unknown; there are {known}, metadata.… and parameters.…"
        raise ManifestInvalidError(message)
    if len(set(filter(None, names))) < len(list(filter(None, names))):
        raise ManifestInvalidError("The manifest's header names a column twice.")
    return Header(tuple(names), delimiter)


def _column(name: str) -> str:
    """Return a column's name as COLUMNS has it: `Upload ID` and `uploadId` are `upload_id`.

    Members of groups keep their case.
    """
    group, dot, member = name.strip().partition(".")
    written = re.sub(r"[\s_-]+", "", group.lower())
    return SPELLINGS.get(written, group.strip().lower()) + dot + member.strip()


def _decode(raw: bytes | None, end: int, *, any_bytes: bool) -> tuple[str | None, str | None]:
    """Return a line's text, or None and what is wrong with the line. `raw` and `end` come from `_split`."""
    if raw is None:
        return None, f"The line is longer than {MAX_LINE_BYTES:,} bytes."
    # Only the manifest's first line may begin with a byte order mark.
    is_first = end - len(raw) <= 1
    try:
        text = raw.decode("utf-8-sig" if is_first else "utf-8", "surrogateescape" if any_bytes else "strict")
    except UnicodeDecodeError:
        return None, "The line is not UTF-8."
    return text.strip("\r\n"), None


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


def _json_values(text: str) -> dict[str, Any]:
    try:
        values = read_json(text)
    except (ValueError, RecursionError) as error:
        raise LineError("The line is not valid JSON.") from error
    if not isinstance(values, dict):
        raise LineError("The line is not a JSON object.")
    return item_from_fields(values)


def _csv_values(text: str, header: Header) -> dict[str, Any]:
    try:
        cells = next(csv.reader([text], strict=True, delimiter=header.delimiter))
    except (csv.Error, StopIteration) as error:
        raise LineError("The line is not valid CSV: a quote is out of place.") from error
    while len(cells) > len(header.names) and not cells[-1].strip():
        cells.pop()
    if len(cells) != len(header.names):
        raise LineError(f"The line has {len(cells)} columns, the header has {len(header.names)}.")
    filled = [(name, cell.strip()) for name, cell in zip(header.names, cells, strict=True) if cell.strip()]
    if any(not name for name, _ in filled):
        raise LineError("The line has a value in a column without a name.")
    if not all(name in PATHS or _is_text(cell) for name, cell in filled):
        raise LineError("The line is not UTF-8.")
    return item_from_cells(filled)
