"""Reads a local manifest: JSON lines or CSV, one track per line, each with its own options and metadata.

The server parses manifests with the same code (shared/batches/manifest_format.py). An invalid line becomes an item with
an error and does not affect the others. A `.txt` may hold either of them, or be a list: a path or address on each line.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from api.client.catalog.tracks.fields import read_item
from api.client.catalog.tracks.items import CatalogItem, SourceError
from shared.batches.manifest_fields import COLUMNS, LineError, item_from_fields
from shared.batches.manifest_format import DELIMITERS, ManifestLine, read_lines
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
        form = _form_of_text(next(_blocks(file), b""))
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


def _form_of_text(begin: bytes) -> str:
    """Return what a text file is, by its first line that is not empty: `jsonl`, `csv` or `list`."""
    first = begin.removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")[0].decode("utf-8", "replace")
    if first.startswith("{"):
        return "jsonl"
    names = {name.strip('" \r').lower() for name in re.split(f"[{DELIMITERS}]", first)}
    return "csv" if names & (COLUMNS | {"path"}) else "list"


def _list_lines(blocks: Iterable[bytes]) -> Iterator[ManifestLine]:
    """Yield the lines of a list. A path may hold any bytes."""
    end = 0
    for number, raw in enumerate(_split(blocks), 1):
        end += len(raw) + 1
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").strip("\r")
        if not text.strip():
            continue
        try:
            yield ManifestLine(number, end, values=_values(text))
        except LineError as error:
            yield ManifestLine(number, end, error=str(error))


def _split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *ended, rest = (rest + block).split(b"\n")
        yield from ended
    yield rest


def _values(text: str) -> dict[str, object]:
    if re.match(r"s3://", text):
        return item_from_fields({"s3": text.strip()})
    if re.match(r"https?://", text):
        return item_from_fields({"url": text.strip()})
    return {"path": text}
