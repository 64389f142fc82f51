"""The fields of a manifest's line: their names, how CSV cells are read, and the form that an item's JSON has.

Server and client both read manifests with this module, so it uses the standard library only. It checks neither ranges
nor whether an engine or an upload exists; item_parser.py does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.audio.mixes import mix_json, read_mixes, read_stems, split_list
from shared.parsing.strict_json import read_json

ITEM_FIELDS = frozenset(
    {
        *("track", "source", "engine", "preset", "parameters", "stems", "mixes", "format", "no_cache", "metadata"),
        *("then", "format_options", "bit_depth", "bitrate_kbps", "audio_stream"),
        *("excerpt", "excerpt_start_seconds", "excerpt_duration_seconds"),
    }
)
"""The fields of an item's JSON. `path`, a file beside the manifest, exists on the client only."""

PLACES = ("upload_id", "url", "s3", "bucket", "key", "job_id", "output")
"""Short forms of the members of `source`, for lines and columns."""

EXCERPT = ("start_seconds", "duration_seconds")

COLUMNS = frozenset(
    {
        *("track", "engine", "preset", "parameters", "stems", "mixes", "format", "no_cache", "metadata", "then"),
        *("bit_depth", "bitrate_kbps", "audio_stream", "excerpt", *EXCERPT, *PLACES),
    }
)

GROUPS = ("metadata.", "parameters.")
"""Prefixes of columns that hold one member of these fields."""

_NUMBER_COLUMNS = frozenset({"bit_depth", "bitrate_kbps", "audio_stream", *EXCERPT})

_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

_NUMBER = re.compile(r"-?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][-+]?\d{1,3})?", re.ASCII)

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)?\+(\d{1,9}(?:\.\d{1,9})?)?", re.ASCII)


class LineError(ValueError):
    """A line cannot become an item; the message is one sentence."""


def item_from_cells(cells: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the values of a CSV record, given its columns' names and cells that are not empty. Raises LineError."""
    values: dict[str, Any] = {}
    for name, cell in cells:
        group, dot, member = name.partition(".")
        value = _read_cell(f"{group}{dot}", cell)
        if not dot:
            # `metadata` and `metadata.isrc` may both be columns.
            values[name] = {**value, **values[name]} if name in values else value
        else:
            values.setdefault(group, {})[member] = value
    item = item_from_fields(values)
    if "path" not in item:
        item.setdefault("source", {})
    return item


def item_from_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields as an item's JSON has them: short forms become `source` and `excerpt`. Raises LineError."""
    may_be_empty = (*PLACES, *EXCERPT, "track", "path")
    item = {name: value for name, value in fields.items() if name not in may_be_empty or value not in (None, "")}
    place = {name: item.pop(name) for name in PLACES if name in item}
    excerpt = {name: item.pop(name) for name in EXCERPT if name in item}
    if place and "source" in item:
        raise LineError(f"Give either source or {next(iter(place))}, not both.")
    if excerpt and "excerpt" in item:
        raise LineError(f"Give either excerpt or {next(iter(excerpt))}, not both.")
    if place:
        item["source"] = _source(place)
    if isinstance(item.get("excerpt"), str):
        excerpt = _excerpt(item["excerpt"])
    return {**item, "excerpt": excerpt} if excerpt else item


def read_excerpt(text: str) -> tuple[float, float | None]:
    """Read `90+20` as (start, duration) in seconds, without a duration None. Raises ValueError."""
    found = _SPAN.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise ValueError("an excerpt is START+DURATION in seconds, such as 90+20")
    return float(found[1] or 0), float(found[2]) if found[2] else None


def split_s3(address: str) -> tuple[str, str]:
    """Read `s3://bucket/key`. Raises ValueError."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket:
        raise ValueError(f"{address!r} is not of the form s3://bucket/key")
    return bucket, key


def _source(place: dict[str, Any]) -> dict[str, Any]:
    source: dict[str, Any] = {name: value for name, value in place.items() if name not in {"bucket", "key"}}
    stored = {name: place[name] for name in ("bucket", "key") if name in place}
    if stored and "s3" in source:
        raise LineError("Give either s3 or bucket and key, not both.")
    if stored:
        source["s3"] = stored
    if isinstance(address := source.get("s3"), str):
        try:
            source["s3"] = dict(zip(("bucket", "key"), split_s3(address), strict=True))
        except ValueError as error:
            raise LineError(f"s3: {error}.") from error
    return source


def _excerpt(text: str) -> dict[str, float]:
    try:
        values = zip(EXCERPT, read_excerpt(text), strict=True)
    except ValueError as error:
        raise LineError(f"excerpt: {error}.") from error
    return {name: value for name, value in values if value is not None}


def _read_cell(column: str, cell: str) -> Any:
    if column in _NUMBER_COLUMNS:
        if (number := _number(cell)) is None:
            raise LineError(f"{column}: {cell[:80]!r} is not a number.")
        return number
    if column == "parameters.":
        number = _number(cell)
        return cell if number is None else number
    if column == "no_cache":
        if cell.lower() not in _TRUTH:
            raise LineError(f"no_cache: {cell[:80]!r} is neither true nor false.")
        return _TRUTH[cell.lower()]
    if column in {"stems", "mixes"}:
        return read_stems(cell) if column == "stems" else _mixes(cell)
    if column in {"parameters", "metadata", "then"}:
        return _list(column, cell) if column == "then" else _object(column, cell)
    return cell


def _mixes(cell: str) -> list[dict[str, Any]]:
    try:
        return [mix_json(mix) for mix in read_mixes(split_list(cell))]
    except ValueError as error:
        raise LineError(f"mixes: {error}.") from error


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text) if set(text) & set(".eE") else int(text)
    return number if math.isfinite(number) else None


def _list(column: str, cell: str) -> list[Any]:
    value = _json(cell)
    if not isinstance(value, list):
        raise LineError(f"{column}: the cell is not a JSON list.")
    return value


def _json(cell: str) -> object:
    try:
        return read_json(cell)
    except (ValueError, RecursionError):
        return None


def _object(column: str, cell: str) -> dict[str, Any]:
    value = _json(cell)
    if not isinstance(value, dict):
        raise LineError(f"{column}: the cell is not a JSON object.")
    return value
