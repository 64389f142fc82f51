"""Turns a line of a manifest into an item: where the mixture is, the track's name, and the options.

The server checks the options, because only it knows its engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from api.client.catalog.tracks.items import CatalogItem, digest, sendable
from shared.audio.names import without_audio_extension
from shared.batches.manifest_fields import ITEM_FIELDS, LineError
from shared.batches.manifest_format import ManifestLine

OPTIONS = ITEM_FIELDS - {"track", "source"}


def read_item(line: ManifestLine, folder: Path) -> CatalogItem:
    """Return the item of a line; an invalid line becomes an item with an error. Paths are relative to `folder`."""
    if line.values is None:
        return CatalogItem(
            digest("line", line.number, line.error), *_named(line), error=f"line {line.number}: {line.error}"
        )
    ident = digest(line.values)
    try:
        place = _place(line.values, folder)
        track = _track(line.values, place)
        options = _options(line.values)
    except LineError as error:
        return CatalogItem(ident, *_named(line), error=f"line {line.number}: {error}")
    return CatalogItem(ident, track, line.number, options=options, **place)


def _named(line: ManifestLine) -> tuple[str, int]:
    """Return the name of an invalid line for reports, and its number."""
    name = (line.values or {}).get("track")
    return sendable(name) if isinstance(name, str) and name.strip() else f"line {line.number}", line.number


def _place(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return where the mixture is, as a field of CatalogItem. Raises LineError."""
    if unknown := sorted(values.keys() - ITEM_FIELDS - {"path"}):
        raise LineError(f"The field {unknown[0]!r} is unknown.")
    source = values.get("source") or {}
    if not isinstance(source, dict):
        raise LineError("source must be an object.")
    given = [*(("path",) if "path" in values else ()), *(name for name in source if source[name] is not None)]
    if set(given) == {"job_id", "output"}:
        for name in given:
            _text(name, source[name])
        return {"source": source}
    if given in (["job_id"], ["output"]):
        raise LineError("Give job_id and output together.")
    if len(given) != 1:
        raise LineError(
            f"Give only one of {' and '.join(given)}."
            if given
            else "The line does not say where the song is: by path, upload_id, s3, bucket and key, job_id and output, "
            "or url."
        )
    if given == ["path"]:
        return {"path": folder / _text("path", values["path"])}
    if given == ["url"]:
        return {"url": _text("url", source["url"])}
    if given == ["upload_id"]:
        _text("upload_id", source["upload_id"])
    elif given == ["s3"]:
        stored = source["s3"] if isinstance(source["s3"], dict) else {}
        for name in ("bucket", "key"):
            _text(name, stored.get(name))
    return {"source": source}


def _track(values: Mapping[str, Any], place: Mapping[str, Any]) -> str:
    if values.get("track") is not None:
        return sendable(_text("track", values["track"]))
    if "path" in place:
        return sendable(without_audio_extension(place["path"].name))
    if "url" in place:
        return sendable(without_audio_extension(name_of_url(place["url"])))
    if place["source"].get("output"):
        return sendable(f"{place['source']['job_id']} - {place['source']['output']}")
    stored = place["source"].get("s3")
    if stored:
        return sendable(without_audio_extension(PurePosixPath(stored["key"]).name))
    return sendable(str(place["source"].get("upload_id", "track")))


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    metadata = values.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise LineError("metadata must be an object.")
    return {name: values[name] for name in sorted(OPTIONS) if values.get(name) not in (None, "", {})}


def _text(name: str, value: object) -> str:
    """Return a non-empty text. Raises LineError."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise LineError(f"{name} must be a text.")
    return value


def name_of_url(url: str) -> str:
    """Return the file name at the end of a URL."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or "song"
