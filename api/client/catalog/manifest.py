"""Manifests on this machine: JSON lines or CSV, one track a line, with options and metadata of its own.

Owns what a line looks like. What its options mean, and whether they are right, is the server's to say. A line that
cannot be read becomes an item with an error, and harms no other.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from api.client.catalog.items import Item, SourceError, digest, sendable
from api.client.models import Excerpt

ENDINGS = (".jsonl", ".ndjson", ".csv")

SOURCES = ("path", "upload_id", "s3", "key", "url", "source")
"""Fields that say where a mixture lies; a line has one of them (`key` goes with `bucket`)."""

OPTIONS = frozenset(
    {"engine", "preset", "parameters", "stems", "format", "bit_depth", "bitrate_kbps", "excerpt", "no_cache"}
)

COLUMNS = frozenset({*OPTIONS, *SOURCES, "track", "bucket", "metadata", "start_seconds", "duration_seconds"})

GROUPS = ("metadata.", "parameters.")
"""What begins the names of columns that hold members of these fields."""

MAX_LINE_BYTES = 65_536
"""Longer lines are refused; no option needs so many."""


class BadLineError(Exception):
    """A line says nothing that can be asked for; the message says why."""


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
        item = _item(fields, number, file.parent)
        seen[item.ident] += 1
        # The same line twice is two tracks, and stays the same two.
        ident = item.ident if seen[item.ident] == 1 else f"{item.ident}#{seen[item.ident]}"
        yield Item(ident, item.track, item.line, item.path, item.source, item.options, item.error)


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each line's number with its fields, or with what is wrong with it."""
    header: list[str] | None = None
    is_csv = file.suffix.lower() == ".csv"
    for number, line in _physical_lines(file):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape").strip()
        if len(line) > MAX_LINE_BYTES:
            yield number, "the line is too long"
        elif not text:
            continue
        elif not is_csv:
            yield number, _json_fields(text)
        elif header is None:
            header = _header(file, text)
        else:
            yield number, _csv_fields(header, text)


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
    if unknown := sorted(fields.keys() - COLUMNS):
        return f"it has a field that is unknown: {unknown[0]!r}"
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _header(file: Path, text: str) -> list[str]:
    header = [name.strip() for name in _cells(text)]
    if unknown := [n for n in header if n not in COLUMNS and not n.startswith(GROUPS)]:
        raise SourceError(f"{file.name}: the column {unknown[0]!r} is unknown")
    return header


def _cells(text: str) -> list[str]:
    # Line by line: a quote that is left open must not swallow the lines below it.
    return next(csv.reader([text], strict=True), [])


def _csv_fields(header: list[str], text: str) -> dict[str, Any] | str:
    try:
        row = _cells(text)
    except csv.Error as error:
        return f"it is no CSV: {error}"
    if len(row) > len(header):
        return f"it has {len(row)} fields for {len(header)} columns"
    fields: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=False):
        if not (given := cell.strip()):
            continue
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


def _item(fields: dict[str, Any] | str, line: int, folder: Path) -> Item:
    if isinstance(fields, str):
        return Item(digest("line", line, fields), f"line {line}", line, error=f"line {line}: {fields}")
    ident = digest(fields)
    try:
        path, source = _source(fields, folder)
        track = _track(fields, path, source)
        options = _options(fields)
    except BadLineError as error:
        name = fields.get("track")
        shown = sendable(name) if isinstance(name, str) and name.strip() else f"line {line}"
        return Item(ident, shown, line, error=f"line {line}: {error}")
    return Item(ident, track, line, path, source, options)


def _source(fields: Mapping[str, Any], folder: Path) -> tuple[Path | None, Mapping[str, Any] | None]:
    given = [name for name in SOURCES if fields.get(name) not in (None, "")]
    if len(given) != 1:
        raise BadLineError(f"it has one of {', '.join(SOURCES)}" if not given else f"it has both {' and '.join(given)}")
    name, value = given[0], fields[given[0]]
    if name == "path":
        return folder / _text("path", value), None
    if name == "key":
        return None, {"s3": {"bucket": _text("bucket", fields.get("bucket")), "key": _text("key", value)}}
    if name == "s3" and isinstance(value, str):
        try:
            bucket, key = split_s3(value)
        except ValueError as error:
            raise BadLineError(str(error)) from error
        return None, {"s3": {"bucket": bucket, "key": key}}
    if name in {"s3", "source"}:
        if not isinstance(value, dict):
            raise BadLineError(f"{name} is an object")
        return None, value if name == "source" else {"s3": value}
    return None, {name: _text(name, value)}


def _track(fields: Mapping[str, Any], path: Path | None, source: Mapping[str, Any] | None) -> str:
    if fields.get("track") not in (None, ""):
        return sendable(_text("track", fields["track"]))
    where = source or {}
    if path is not None:
        return sendable(path.stem)
    s3 = where.get("s3")
    if isinstance(s3, dict) and isinstance(s3.get("key"), str):
        return sendable(PurePosixPath(s3["key"]).stem)
    if isinstance(where.get("url"), str):
        return sendable(PurePosixPath(unquote(urlsplit(where["url"]).path)).stem) or "track"
    return sendable(str(where.get("upload_id", "track")))


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: fields[name] for name in sorted(OPTIONS) if fields.get(name) not in (None, "")}
    excerpt = {name: fields[name] for name in ("start_seconds", "duration_seconds") if name in fields}
    if excerpt:
        options["excerpt"] = excerpt
    metadata = fields.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise BadLineError("metadata is an object")
    options = {**options, "metadata": metadata} if metadata else options
    try:
        json.dumps(options, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadLineError("it holds text that is no UTF-8") from error
    return options


def _text(name: str, value: object) -> str:
    """Return a text; bytes of a path that are no UTF-8 stay what they are."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise BadLineError(f"{name} is a text")
    return value


def split_s3(address: str) -> tuple[str, str]:
    """Read `s3://bucket/key`. Raises ValueError."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket:
        raise ValueError(f"{address!r} is no s3://bucket/key")
    return bucket, key
