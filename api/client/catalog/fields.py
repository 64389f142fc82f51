"""One line of a manifest as fields: where its mixture lies, what it is called, and what is asked for it.

Owns the fields' names. What options mean, and whether they are right, is the server's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from api.client.catalog.items import Item, digest, sendable

SOURCES = ("path", "upload_id", "s3", "key", "url", "source")
"""Fields that say where a mixture lies; a line has one of them (`key` goes with `bucket`)."""

OPTIONS = frozenset(
    {"engine", "preset", "parameters", "stems", "format", "bit_depth", "bitrate_kbps", "excerpt", "no_cache"}
)

COLUMNS = frozenset({*OPTIONS, *SOURCES, "track", "bucket", "metadata", "start_seconds", "duration_seconds"})


class BadLineError(Exception):
    """A line says nothing that can be asked for; the message says why."""


def read_item(fields: dict[str, Any] | str, line: int, folder: Path) -> Item:
    """Return the item that a line stands for; `fields` may be what is wrong with it."""
    if isinstance(fields, str):
        return Item(digest("line", line, fields), f"line {line}", line, error=f"line {line}: {fields}")
    ident = digest(fields)
    try:
        place = _place(fields, folder)
        track = _track(fields, place)
        options = _options(fields)
    except BadLineError as error:
        name = fields.get("track")
        shown = sendable(name) if isinstance(name, str) and name.strip() else f"line {line}"
        return Item(ident, shown, line, error=f"line {line}: {error}")
    return Item(ident, track, line, options=options, **place)


def _place(fields: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return where the mixture lies, as a field of an Item."""
    given = [name for name in SOURCES if fields.get(name) not in (None, "")]
    if len(given) != 1:
        raise BadLineError(
            f"it has none of {', '.join(SOURCES)}" if not given else f"it has both {' and '.join(given)}"
        )
    name, value = given[0], fields[given[0]]
    if name == "path":
        return {"path": folder / _text("path", value)}
    if name == "url":
        return {"url": _text("url", value)}
    if name == "source" and isinstance(value, dict) and isinstance(value.get("url"), str):
        return {"url": value["url"]}
    return {"source": _source(name, value, fields.get("bucket"))}


def _source(name: str, value: object, bucket: object) -> Mapping[str, Any]:
    """Return where the server finds a mixture, as its API has it."""
    if name == "upload_id":
        return {name: _text(name, value)}
    if name == "key":
        return {"s3": {"bucket": _text("bucket", bucket), "key": _text("key", value)}}
    if name == "s3" and isinstance(value, str):
        try:
            bucket, key = split_s3(value)
        except ValueError as error:
            raise BadLineError(str(error)) from error
        return {"s3": {"bucket": bucket, "key": key}}
    if not isinstance(value, dict):
        raise BadLineError(f"{name} is an object")
    return value if name == "source" else {"s3": value}


def _track(fields: Mapping[str, Any], place: Mapping[str, Any]) -> str:
    if fields.get("track") not in (None, ""):
        return sendable(_text("track", fields["track"]))
    if "path" in place:
        return sendable(place["path"].stem)
    if "url" in place:
        return sendable(name_of_url(place["url"]).rpartition(".")[0]) or "track"
    s3 = place["source"].get("s3")
    if isinstance(s3, dict) and isinstance(s3.get("key"), str):
        return sendable(PurePosixPath(s3["key"]).stem)
    return sendable(str(place["source"].get("upload_id", "track")))


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: fields[name] for name in sorted(OPTIONS) if fields.get(name) not in (None, "")}
    excerpt = {name: fields[name] for name in ("start_seconds", "duration_seconds") if name in fields}
    if excerpt:
        options["excerpt"] = excerpt
    metadata = fields.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise BadLineError("metadata is an object")
    return {**options, "metadata": metadata} if metadata else options


def _text(name: str, value: object) -> str:
    """Return a text; bytes of a path that are no UTF-8 stay what they are."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise BadLineError(f"{name} is a text")
    return value


def name_of_url(url: str) -> str:
    """Return what a file on the web is called."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or "song"


def split_s3(address: str) -> tuple[str, str]:
    """Read `s3://bucket/key`. Raises ValueError."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket:
        raise ValueError(f"{address!r} is no s3://bucket/key")
    return bucket, key
