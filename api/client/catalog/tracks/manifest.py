"""Reads a local manifest: JSON lines or CSV, one track per line, each with its own options and metadata.

The server parses manifests with the same code (shared/batches/manifest_format.py). An invalid line becomes an item with
an error and does not affect the others. A `.txt` may hold either of them, or be a list: a path or address on each line,
as in a playlist.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from api.client.catalog.tracks.fields import read_item
from api.client.catalog.tracks.items import CatalogItem, SourceError
from shared.batches.manifest_fields import LineError, item_from_fields
from shared.batches.manifest_format import ManifestLine, read_header, read_lines, split_lines
from shared.errors import ManifestInvalidError

FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".txt": "text"}
ENDINGS = tuple(FORMS)

_BLOCK_BYTES = 65_536

# Spreadsheets write "Unicode text" in UTF-16.
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_manifest(file: Path) -> Iterator[CatalogItem]:
    """Yield the items of a manifest, including invalid lines. Raises SourceError, OSError."""
    seen: Counter[str] = Counter()
    form = FORMS[file.suffix.lower()]
    if form == "text":
        form = _form_of_text(_blocks(file))
    lines = _list_lines(_blocks(file)) if form == "list" else read_lines(_blocks(file), form, has_paths=True)
    try:
        for line in lines:
            item = read_item(line, file.parent)
            seen[item.ident] += 1
            # Two equal lines are two tracks, so the second needs an id of its own.
            ident = item.ident if seen[item.ident] == 1 else f"{item.ident}#{seen[item.ident]}"
            yield replace(item, ident=ident)
    except ManifestInvalidError as error:
        raise SourceError(f"{file.name}: {error}") from error


def _blocks(file: Path) -> Iterator[bytes]:
    """Yield the bytes of a file; text in UTF-16 is converted to UTF-8."""
    with file.open("rb") as opened:
        is_utf_16 = opened.read(2) in _UTF_16_MARKS
        opened.seek(0)
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        while block := opened.read(_BLOCK_BYTES):
            yield decoder.decode(block).encode() if is_utf_16 else block


def _form_of_text(blocks: Iterable[bytes]) -> str:
    """Return what a text file is, by its first line that can tell: `jsonl`, `csv` or `list`.

    Names of files may hold braces and separators, and words that are columns too; so the whole line must fit.
    """
    first = next((text for text, _, _ in split_lines(blocks, any_bytes=True) if text and text.strip()), "")
    try:
        if isinstance(json.loads(first), dict):
            return "jsonl"
    except (ValueError, RecursionError):
        pass
    try:
        read_header(first, has_paths=True)
    except ManifestInvalidError:
        return "list"
    return "csv"


def _list_lines(blocks: Iterable[bytes]) -> Iterator[ManifestLine]:
    """Yield the lines of a list. A path may hold any bytes. Playlists (M3U) have lines of their own, with a #."""
    is_playlist = False
    for number, (text, error, end) in enumerate(split_lines(blocks, any_bytes=True), 1):
        if text is None:
            yield ManifestLine(number, end, error=error)
            continue
        is_playlist = is_playlist or text.startswith("#EXTM3U")
        if not text.strip() or (is_playlist and text.startswith("#")):
            continue
        try:
            yield ManifestLine(number, end, values=_values(text))
        except LineError as refused:
            yield ManifestLine(number, end, error=str(refused))


def _values(text: str) -> dict[str, object]:
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if separator and scheme in {"s3", "http", "https"}:
        return item_from_fields({"s3" if scheme == "s3" else "url": f"{scheme}://{rest}"})
    return {"path": text}
